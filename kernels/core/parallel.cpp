// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace qe {

struct ThreadPool::Impl {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable start;
  std::condition_variable done;
  // Below: guarded by mutex, except next_task while a loop runs.
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t n_tasks = 0;
  std::atomic<int64_t> next_task{0};
  uint64_t generation = 0;
  int n_busy = 0;
  bool stopping = false;
  std::exception_ptr error;

  void work(const std::function<void(int64_t, int)>& loop_body, int64_t count, int thread) {
    for (int64_t task; (task = next_task.fetch_add(1)) < count;) {
      try {
        loop_body(task, thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next_task = count;
      }
    }
  }

  void serve(int thread) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      start.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      const auto* loop_body = body;
      const int64_t count = n_tasks;
      lock.unlock();
      work(*loop_body, count, thread);
      lock.lock();
      if (--n_busy == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int n_threads) : impl_(std::make_unique<Impl>()) {
  if (n_threads <= 0) n_threads = std::max(1u, std::thread::hardware_concurrency());
  for (int i = 1; i < n_threads; ++i) impl_->workers.emplace_back([this, i] { impl_->serve(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->start.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::n_threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(int64_t n_tasks, const std::function<void(int64_t, int)>& body) {
  if (n_tasks <= 0) return;
  if (impl_->workers.empty() || n_tasks == 1) {
    for (int64_t task = 0; task < n_tasks; ++task) body(task, 0);
    return;
  }
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->body = &body;
    impl_->n_tasks = n_tasks;
    impl_->next_task = 0;
    impl_->n_busy = static_cast<int>(impl_->workers.size());
    impl_->error = nullptr;
    ++impl_->generation;
  }
  impl_->start.notify_all();
  impl_->work(body, n_tasks, 0);
  std::unique_lock lock(impl_->mutex);
  impl_->done.wait(lock, [&] { return impl_->n_busy == 0; });
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace qe
