// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Work done ahead: a thread of its own makes items, in order, while somebody else uses those made
// before. Items are swapped in and out, so that their memory is used again and again.

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace qe {

template <class Item>
class Background {
 public:
  /// Hands an item over and gets a used one (or a new one) for it; waits while `capacity` are
  /// ready. False: nobody wants more, and `produce` is to return.
  using Give = std::function<bool(Item&)>;

  /// Runs produce(give) on a thread of its own. capacity > 0.
  Background(size_t capacity, std::function<void(const Give&)> produce)
      : slots_(capacity), thread_([this, produce = std::move(produce)] { run(produce); }) {}
  /// Ends the production and waits for its thread.
  ~Background() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    used_.notify_one();
    thread_.join();
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Swaps the next item into `item`; waits for it. False after the last one. What produce() threw
  /// is thrown here, after the items before it.
  bool next(Item& item) {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return n_ready_ > 0 || done_; });
    if (n_ready_ == 0) {
      if (error_) std::rethrow_exception(error_);
      return false;
    }
    std::swap(item, slots_[first_]);
    first_ = (first_ + 1) % slots_.size();
    --n_ready_;
    lock.unlock();
    used_.notify_one();
    return true;
  }

 private:
  bool give(Item& item) {
    std::unique_lock lock(mutex_);
    used_.wait(lock, [&] { return n_ready_ < slots_.size() || stopping_; });
    if (stopping_) return false;
    std::swap(item, slots_[(first_ + n_ready_) % slots_.size()]);
    ++n_ready_;
    lock.unlock();
    ready_.notify_one();
    return true;
  }

  void run(const std::function<void(const Give&)>& produce) {
    std::exception_ptr error;
    try {
      produce([this](Item& item) { return give(item); });
    } catch (...) {
      error = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      error_ = error;
      done_ = true;
    }
    ready_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable ready_, used_;
  std::vector<Item> slots_;  // a ring
  size_t first_ = 0, n_ready_ = 0;
  bool done_ = false, stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace qe
