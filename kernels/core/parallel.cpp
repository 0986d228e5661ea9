// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace qe {

namespace {

// How long a thread looks for news before it sleeps: longer than the gaps between the loops of a
// step, shorter than anybody notices. Waking a sleeping thread takes 10 to 100 us.
constexpr std::chrono::microseconds kSpinTime{50};

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether `ready` became true within kSpinTime.
template <class Ready>
bool spin_until(const Ready& ready) {
  constexpr int kLooksPerClock = 32;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < kLooksPerClock; ++i) {
      if (ready()) return true;
      pause_core();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

// A loop is open while its caller takes tasks. Workers that come in time are counted in and out by
// `gate`; the caller closes it and waits for those inside only, so a worker that the system wakes
// late delays nobody. What describes the loop is written while the gate is closed and empty, and
// read by those inside.
struct ThreadPool::Impl {
  static constexpr uint32_t kClosed = uint32_t{1} << 31;

  std::vector<std::thread> workers;
  bool spins = false;  // not with more threads than cores
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t n_tasks = 0;
  std::atomic<int64_t> next_task{0};
  std::atomic<uint32_t> gate{kClosed};  // kClosed, plus the number of workers inside
  std::atomic<uint64_t> generation{0};  // of loops

  std::mutex mutex;  // for sleeping, and for error
  std::condition_variable start;
  std::condition_variable done;
  std::atomic<int> n_asleep{0};
  std::atomic<bool> caller_asleep{false};
  std::atomic<bool> stopping{false};
  std::exception_ptr error;

  void work(int thread) {
    const int64_t count = n_tasks;
    for (int64_t task; (task = next_task.fetch_add(1)) < count;) {
      try {
        (*body)(task, thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next_task = count;
      }
    }
  }

  bool enter() {
    uint32_t inside = gate.load();
    while ((inside & kClosed) == 0) {
      if (gate.compare_exchange_weak(inside, inside + 1)) return true;
    }
    return false;
  }

  void leave() {
    if (gate.fetch_sub(1) != kClosed + 1 || !caller_asleep.load()) return;
    const std::lock_guard lock(mutex);
    done.notify_one();
  }

  // Every flag is written before what it announces is read on the other side, all in one total
  // order, so no wake-up is lost: a sleeper either is seen, or sees the news.
  void sleep_until_news(uint64_t seen) {
    std::unique_lock lock(mutex);
    ++n_asleep;
    start.wait(lock, [&] { return stopping.load() || generation.load() != seen; });
    --n_asleep;
  }

  void serve(int thread) {
    uint64_t seen = 0;
    while (true) {
      const auto news = [&] { return stopping.load() || generation.load() != seen; };
      if (!spins || !spin_until(news)) sleep_until_news(seen);
      if (stopping.load()) return;
      seen = generation.load();
      if (!enter()) continue;
      work(thread);
      leave();
    }
  }

  void announce() {
    if (n_asleep.load() == 0) return;
    { const std::lock_guard lock(mutex); }
    start.notify_all();
  }

  void wait_for_workers() {
    const auto empty = [&] { return gate.load() == kClosed; };
    if (empty() || (spins && spin_until(empty))) return;
    std::unique_lock lock(mutex);
    caller_asleep = true;
    done.wait(lock, empty);
    caller_asleep = false;
  }
};

ThreadPool::ThreadPool(int n_threads) : impl_(std::make_unique<Impl>()) {
  const int n_cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (n_threads <= 0) n_threads = n_cores;
  impl_->spins = n_threads <= n_cores;
  for (int i = 1; i < n_threads; ++i) impl_->workers.emplace_back([this, i] { impl_->serve(i); });
}

ThreadPool::~ThreadPool() {
  impl_->stopping = true;
  impl_->announce();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::n_threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::run(int64_t n_tasks, const std::function<void(int64_t, int)>& body) {
  if (n_tasks <= 0) return;
  if (impl_->workers.empty() || n_tasks == 1) {
    for (int64_t task = 0; task < n_tasks; ++task) body(task, 0);
    return;
  }
  impl_->body = &body;
  impl_->n_tasks = n_tasks;
  impl_->next_task = 0;
  impl_->error = nullptr;
  impl_->gate = 0;
  ++impl_->generation;
  impl_->announce();
  impl_->work(0);
  impl_->gate.fetch_or(Impl::kClosed);
  impl_->wait_for_workers();
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace qe
