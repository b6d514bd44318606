// What makes a daemon healthy.
#include "server/status_socket.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace sidelb::server {
namespace {

using control::ListenerObject;
using control::PoolObject;
using control::StateView;

void AddListener(StateView* view, const std::string& pool, bool is_bound = true,
                 bool is_disabled = false) {
  auto object = std::make_shared<ListenerObject>();
  object->spec.pool = pool;
  object->spec.disabled = is_disabled;
  view->listeners.push_back({std::move(object), {.is_bound = is_bound}});
}

void AddPool(StateView* view, const std::string& name, bool takes_sessions) {
  auto object = std::make_shared<PoolObject>();
  object->spec.name = name;
  view->pools.push_back({std::move(object), {.takes_sessions = takes_sessions}});
}

TEST(IsHealthyTest, ADaemonThatWaitsForItsConfigurationIs) {
  StateView view;
  EXPECT_TRUE(IsHealthy(view));
  AddPool(&view, "web", false);
  EXPECT_TRUE(IsHealthy(view)) << "no listener leads to the pool";
}

TEST(IsHealthyTest, AListenerNeedsABackendThatMayBePicked) {
  for (const bool takes_sessions : {false, true}) {
    StateView view;
    AddListener(&view, "web");
    AddPool(&view, "web", takes_sessions);
    EXPECT_EQ(IsHealthy(view), takes_sessions);
  }
}

TEST(IsHealthyTest, OneOfSeveralListenersIsEnough) {
  StateView view;
  AddPool(&view, "idle", true);
  AddPool(&view, "mail", false);
  AddPool(&view, "web", true);
  AddListener(&view, "mail");
  EXPECT_FALSE(IsHealthy(view));
  AddListener(&view, "web");
  EXPECT_TRUE(IsHealthy(view));
}

TEST(IsHealthyTest, AListenerThatIsNotBoundCarriesNothing) {
  StateView view;
  AddPool(&view, "web", true);
  AddListener(&view, "web", false);
  EXPECT_FALSE(IsHealthy(view));
}

TEST(IsHealthyTest, ADisabledListenerDoesNotCount) {
  StateView view;
  AddPool(&view, "web", true);
  AddListener(&view, "web", false, true);
  EXPECT_TRUE(IsHealthy(view));
}

TEST(IsHealthyTest, AListenerWithoutItsPoolCarriesNothing) {
  StateView view;
  AddListener(&view, "web");
  EXPECT_FALSE(IsHealthy(view));
}

}  // namespace
}  // namespace sidelb::server
