// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "kernels/core/error.h"

namespace qe {

TEST_CASE("parallel: every task runs once, by a thread of the team") {
  for (const int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    CHECK(pool.n_threads() == n_threads);
    for (const int64_t n_tasks : {0, 1, 2, 3, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(n_tasks));
      std::atomic<int> strangers{0};
      pool.run(n_tasks, [&](int64_t task, int thread) {
        runs[static_cast<size_t>(task)].fetch_add(1);
        if (thread < 0 || thread >= n_threads) strangers.fetch_add(1);
      });
      for (const std::atomic<int>& count : runs) CHECK(count.load() == 1);
      CHECK(strangers.load() == 0);
    }
  }
}

TEST_CASE("parallel: no two tasks run on one thread number at a time") {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<int> clashes{0};
  pool.run(5000, [&](int64_t, int thread) {
    std::atomic<int>& here = inside[static_cast<size_t>(thread)];
    if (here.fetch_add(1) != 0) clashes.fetch_add(1);
    here.fetch_sub(1);
  });
  CHECK(clashes.load() == 0);
}

TEST_CASE("parallel: an exception reaches the caller, and the pool goes on") {
  for (const int n_threads : {1, 3}) {
    ThreadPool pool(n_threads);
    std::string caught;
    try {
      pool.run(100, [](int64_t task, int) {
        if (task == 40) fail("task ", task);
      });
    } catch (const Error& error) {
      caught = error.what();
    }
    CHECK(caught == "task 40");
    std::atomic<int64_t> sum{0};
    pool.run(100, [&](int64_t task, int) { sum.fetch_add(task); });
    CHECK(sum.load() == 4950);
  }
}

TEST_CASE("parallel: short loops, with threads that spin, that sleep and that come late") {
  for (const int n_threads : {2, 7}) {
    ThreadPool pool(n_threads);
    int64_t wrong = 0;
    for (int loop = 0; loop < 3000; ++loop) {
      // Longer than threads spin, now and then.
      if (loop % 100 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      std::atomic<int64_t> sum{0};
      const int64_t n_tasks = 2 + loop % 5;
      pool.run(n_tasks, [&](int64_t task, int) { sum.fetch_add(task + 1); });
      wrong += sum.load() != n_tasks * (n_tasks + 1) / 2;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("parallel: zero asks for the machine's threads") {
  CHECK(ThreadPool(0).n_threads() >= 1);
}

}  // namespace qe
