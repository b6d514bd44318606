#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "dataplane/base/close_reason.h"
#include "dataplane/base/counters.h"
#include "dataplane/base/faults.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/local_ref.h"
#include "dataplane/base/status.h"

namespace sidelb {
namespace {

// ---- Status, close reasons, counters ----

TEST(StatusTest, ErrnoBecomesCodeAndText) {
  const absl::Status in_use = ErrnoToStatus(EADDRINUSE, "cannot bind 127.0.0.1:80");
  EXPECT_EQ(in_use.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(in_use.message(), "cannot bind 127.0.0.1:80: Address already in use (EADDRINUSE)");
  for (int error : {EADDRNOTAVAIL, EACCES}) {
    EXPECT_EQ(ErrnoToStatus(error, "x").code(), absl::StatusCode::kFailedPrecondition);
  }
  for (int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    EXPECT_EQ(ErrnoToStatus(error, "x").code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(ErrnoToStatus(ECONNREFUSED, "x").code(), absl::StatusCode::kUnavailable);
}

TEST(StatusTest, ANumberWithoutANameIsStillSaid) {
  EXPECT_EQ(ErrnoName(EADDRINUSE), "EADDRINUSE");
  EXPECT_EQ(ErrnoName(98'765), "errno 98765");
}

TEST(CloseReasonTest, EveryReasonHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kCloseReasonCount; ++i) {
    names.insert(CloseReasonName(static_cast<CloseReason>(i)));
  }
  EXPECT_EQ(names.size(), kCloseReasonCount);
  EXPECT_EQ(CloseReasonName(CloseReason::kFinished), "finished");
  EXPECT_EQ(CloseReasonName(CloseReason::kHalfCloseTimeout), "half_close_timeout");
  EXPECT_EQ(CloseReasonName(CloseReason::kListenerLimit), "listener_limit");
  EXPECT_EQ(CloseReasonName(CloseReason::kLocalError), "local_error");
  EXPECT_EQ(CloseReasonName(CloseReason::kProxyProtocol), "proxy_protocol");
  EXPECT_EQ(CloseReasonName(static_cast<CloseReason>(200)), "unspecified");
}

TEST(CounterTest, AddsUp) {
  Counter counter;
  counter.Add(3);
  counter.Add(uint64_t{1} << 40);
  EXPECT_EQ(counter.value(), (uint64_t{1} << 40) + 3);
}

// ---- Faults ----

TEST(FaultsTest, ErrorsOfThisMachineAreToldFromThoseOfThePeer) {
  for (int error : {EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM, ENOSPC, ENETUNREACH}) {
    EXPECT_TRUE(Faults::IsLocal(error)) << ErrnoName(error);
  }
  for (int error : {ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EPIPE}) {
    EXPECT_FALSE(Faults::IsLocal(error)) << ErrnoName(error);
  }
}

class FaultsLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    former_ = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(text_)));
    spdlog::set_pattern("%v");
  }
  void TearDown() override { spdlog::set_default_logger(former_); }

  std::ostringstream text_;

 private:
  std::shared_ptr<spdlog::logger> former_;
};

TEST_F(FaultsLogTest, CountsEveryOneAndSaysEachKindOnce) {
  Faults faults;
  for (int i = 0; i < 1'000; ++i) faults.Count(EMFILE, "accepting");
  faults.Count(ENFILE, "accepting");
  for (int i = 0; i < 3; ++i) faults.Count(EADDRNOTAVAIL, "connecting to a backend");
  faults.Count(ENOMEM, "connecting to a backend");
  faults.Count(ENOSPC, "watching an accepted connection");
  faults.Count(ENETUNREACH, "connecting to a backend");
  faults.Count(EINVAL, "accepting");

  const FaultCounters counters = faults.Read();
  EXPECT_EQ(counters.emfile, 1'001u);
  EXPECT_EQ(counters.eaddrnotavail, 3u);
  EXPECT_EQ(counters.enobufs, 2u);
  EXPECT_EQ(counters.enetunreach, 1u);
  EXPECT_EQ(counters.other, 1u);
  const std::string text = text_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 5) << text;
  EXPECT_EQ(text.find("accepting: Too many open files (EMFILE), 1 times so far"), 0u) << text;
}

// ---- IntrusiveList ----

struct Element {
  explicit Element(int v) : value(v) {}
  int value;
  ListHook hook;
  double behind = 0;  // the hook stands in the middle
};
using List = IntrusiveList<Element, &Element::hook>;

std::vector<int> Values(const List& list) {
  std::vector<int> values;
  for (Element* e = list.front(); e != nullptr; e = list.Next(e)) values.push_back(e->value);
  return values;
}

TEST(IntrusiveListTest, KeepsTheOrderOfPushing) {
  List list;
  Element a(1), b(2), c(3);
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.PopFront(), nullptr);
  for (Element* e : {&a, &b, &c}) list.PushBack(e);
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(list.PopFront(), &a);
  EXPECT_FALSE(a.hook.is_linked());
  EXPECT_EQ(Values(list), (std::vector<int>{2, 3}));
}

TEST(IntrusiveListTest, AnElementUnlinksItself) {
  List list;
  Element a(1), c(3);
  list.PushBack(&a);
  {
    Element b(2);
    list.PushBack(&b);
    list.PushBack(&c);
  }
  EXPECT_EQ(Values(list), (std::vector<int>{1, 3}));
  c.hook.Unlink();
  c.hook.Unlink();  // twice is once
  EXPECT_EQ(Values(list), std::vector<int>{1});
  a.hook.Unlink();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, TakesAllOfAnotherListToItsEnd) {
  List list, other;
  Element a(1), b(2), c(3);
  list.PushBack(&a);
  other.PushBack(&b);
  other.PushBack(&c);
  list.TakeAll(&other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
  list.TakeAll(&other);
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
}

TEST(IntrusiveListTest, ElementsOutliveTheirList) {
  Element a(1), b(2);
  {
    List list;
    list.PushBack(&a);
    list.PushBack(&b);
  }
  List next;
  a.hook.Unlink();
  b.hook.Unlink();
  next.PushBack(&b);
  EXPECT_EQ(Values(next), std::vector<int>{2});
}

// ---- LocalRef ----

struct Counted : LocalRefCounted {
  explicit Counted(int* deaths) : deaths_(deaths) {}
  ~Counted() { ++*deaths_; }
  int* deaths_;
};

TEST(LocalRefTest, TheLastReferenceDeletes) {
  int deaths = 0;
  {
    LocalRef<Counted> a(new Counted(&deaths));
    LocalRef<Counted> b = a;
    LocalRef<Counted> c = std::move(a);
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): what a move leaves is promised
    b = LocalRef<Counted>();
    EXPECT_EQ(deaths, 0);
    EXPECT_TRUE(c);
  }
  EXPECT_EQ(deaths, 1);
}

TEST(LocalRefTest, AssigningReleasesTheFormerObject) {
  int first = 0, second = 0;
  LocalRef<Counted> ref(new Counted(&first));
  const LocalRef<Counted> other(new Counted(&second));
  ref = other;
  EXPECT_EQ(first, 1);
  LocalRef<Counted>& same = ref;
  ref = same;
  EXPECT_EQ(second, 0);
  ref = LocalRef<Counted>();
  EXPECT_EQ(second, 0);
}

}  // namespace
}  // namespace sidelb
