#include "dataplane/net/pipe_pool.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace sidelb {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// How many pipes `budget` has left, without changing it.
int Left(PipeBudget& budget) {
  int left = 0;
  while (budget.Take()) ++left;
  for (int i = 0; i < left; ++i) budget.Give();
  return left;
}

TEST(PipePoolTest, AnEmptyPipeIsUsedAgain) {
  PipeBudget budget(2);
  PipePool pool(budget);
  std::unique_ptr<Pipe> pipe = pool.Acquire();
  ASSERT_NE(pipe, nullptr);
  const int fd = pipe->read_end.get();
  pool.Return(std::move(pipe));
  pipe = pool.Acquire();
  ASSERT_NE(pipe, nullptr);
  EXPECT_EQ(pipe->read_end.get(), fd);
  EXPECT_EQ(Left(budget), 1);
  pool.Return(std::move(pipe));
}

TEST(PipePoolTest, APipeWithBytesInItIsClosedAndNeverHandedOutAgain) {
  PipeBudget budget(1);
  PipePool pool(budget);
  std::unique_ptr<Pipe> pipe = pool.Acquire();
  ASSERT_NE(pipe, nullptr);
  ASSERT_EQ(write(pipe->write_end.get(), "secret", 6), 6);
  pipe->fill_bytes = 6;
  pool.Return(std::move(pipe));
  EXPECT_EQ(Left(budget), 1);
  pipe = pool.Acquire();
  ASSERT_NE(pipe, nullptr);
  EXPECT_EQ(pipe->fill_bytes, 0u);
  char byte;
  EXPECT_EQ(read(pipe->read_end.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  pool.Return(std::move(pipe));
}

TEST(PipePoolTest, TheBudgetIsSharedByAllPools) {
  PipeBudget budget(3);
  PipePool one(budget), other(budget);
  std::unique_ptr<Pipe> a = one.Acquire(), b = other.Acquire(), c = one.Acquire();
  ASSERT_TRUE(a != nullptr && b != nullptr && c != nullptr);
  EXPECT_EQ(one.Acquire(), nullptr);
  EXPECT_EQ(other.Acquire(), nullptr);
  b->fill_bytes = 1;
  other.Return(std::move(b));
  std::unique_ptr<Pipe> d = one.Acquire();
  EXPECT_NE(d, nullptr);
  for (std::unique_ptr<Pipe>* pipe : {&a, &c, &d}) one.Return(std::move(*pipe));
}

TEST(PipePoolTest, KeepsThirtyTwoIdlePipesAtMost) {
  PipeBudget budget(40);
  PipePool pool(budget);
  std::vector<std::unique_ptr<Pipe>> pipes;
  std::vector<int> fds;
  for (int i = 0; i < 40; ++i) {
    pipes.push_back(pool.Acquire());
    ASSERT_NE(pipes.back(), nullptr);
    fds.push_back(pipes.back()->read_end.get());
  }
  EXPECT_EQ(Left(budget), 0);
  for (std::unique_ptr<Pipe>& pipe : pipes) pool.Return(std::move(pipe));
  EXPECT_EQ(Left(budget), 8);
  int open = 0;
  for (int fd : fds) open += IsOpen(fd) ? 1 : 0;
  EXPECT_EQ(open, 32);
}

TEST(PipePoolTest, APoolThatGoesGivesItsPipesBack) {
  PipeBudget budget(5);
  int fd = -1;
  {
    PipePool pool(budget);
    std::unique_ptr<Pipe> a = pool.Acquire(), b = pool.Acquire();
    ASSERT_TRUE(a != nullptr && b != nullptr);
    fd = a->write_end.get();
    pool.Return(std::move(a));
    pool.Return(std::move(b));
    EXPECT_EQ(Left(budget), 3);
  }
  EXPECT_EQ(Left(budget), 5);
  EXPECT_FALSE(IsOpen(fd));
}

TEST(PipePoolTest, PipesDoNotBlockAndDoNotOutliveAnExec) {
  PipeBudget budget(1);
  PipePool pool(budget);
  std::unique_ptr<Pipe> pipe = pool.Acquire();
  ASSERT_NE(pipe, nullptr);
  for (int fd : {pipe->read_end.get(), pipe->write_end.get()}) {
    EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  pool.Return(std::move(pipe));
}

}  // namespace
}  // namespace sidelb
