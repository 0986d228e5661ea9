// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The only threads of the CPU backend: one pool per executor, one loop at a time.

#include <cstdint>
#include <functional>
#include <memory>

namespace qe {

/// A fixed team of threads. Tasks write disjoint outputs and never reduce across tasks, so results
/// do not depend on the number of threads or on which thread ran what.
class ThreadPool {
 public:
  /// n_threads >= 1 in all, the caller included; 0 takes the machine's hardware threads.
  explicit ThreadPool(int n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  /// Calls body(task, thread) for every task in [0, n_tasks), thread in [0, n_threads). Tasks are
  /// taken in ascending order. Returns when all have finished; the first exception is rethrown.
  /// Not reentrant: a body must not call run.
  void run(int64_t n_tasks, const std::function<void(int64_t task, int thread)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qe
