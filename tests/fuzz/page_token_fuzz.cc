// Page tokens of GetState. '@' in the input stands for the number of a pin that exists, which is
// random.
#include <memory>

#include "server/rpc/state_pages.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
using sidelb::rpc::StatePages;
namespace control = sidelb::control;
namespace pb = sidelb::v1;

namespace {

constexpr StatePages::Time kNow{std::chrono::seconds(1'000)};

std::shared_ptr<control::StateView> MakeView() {
  auto view = std::make_shared<control::StateView>();
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) {
    auto pool = std::make_shared<control::PoolObject>();
    pool->spec.name = name;
    view->pools.push_back({std::move(pool), {}});
  }
  return view;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t page_size = data[0] % 8 + 1;
  StatePages pages;
  const auto first = pages.First(MakeView(), sidelb::rpc::StateDetail::kFull, "all", 1, kNow);
  const std::string& valid = first.next_page_token();
  const std::string pin = valid.substr(0, valid.find('-'));
  std::string token;
  for (char c : sidelb::fuzz::Text(data + 1, size - 1)) {
    if (c == '@') {
      token += pin;
    } else {
      token += c;
    }
  }

  auto page = pages.Next(token, "all", page_size, kNow);
  if (!page.ok()) {
    Require(absl::IsInvalidArgument(page.status()) || absl::IsOutOfRange(page.status()),
            "a wrong token is INVALID_ARGUMENT or OUT_OF_RANGE", token);
    Require(pages.Next(valid, "all", page_size, kNow).ok(), "it leaves the read as it was", token);
    return 0;
  }
  Require(absl::IsInvalidArgument(pages.Next(token, "some", page_size, kNow).status()),
          "another selection has other tokens", token);
  int seen = 0;
  while (true) {
    const int count = page->state().pools_size();
    Require(count > 0 && count <= static_cast<int>(page_size), "a page has 1 to page_size objects",
            token);
    seen += count;
    Require(seen <= 7, "each object stands on one page", token);
    if (page->next_page_token().empty()) break;
    page = pages.Next(page->next_page_token(), "all", page_size, kNow);
    Require(page.ok(), "the pages go on to the end", token);
  }
  Require(page->state().pools(page->state().pools_size() - 1).name() == "g",
          "the last page has the last object", token);
  return 0;
}
