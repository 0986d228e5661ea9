// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/serve/request_queue.h"

#include <algorithm>
#include <utility>

namespace qe {

uint64_t RequestQueue::put(std::shared_ptr<Request> request) {
  uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw Refused(Refusal::kCancelled, "the model is being closed");
    const int64_t n_tokens = request->n_waiting_tokens();
    if (!waiting_.empty() && waiting_tokens_ + n_tokens > limits_.waiting_tokens) {
      throw Refused(
          Refusal::kOverloaded,
          cat("overloaded: requests of ", waiting_tokens_, " tokens wait, and with ", n_tokens,
              " more they would be over the limit of ", limits_.waiting_tokens));
    }
    id = request->id = ++last_id_;
    request->arrival = Request::Clock::now();
    waiting_tokens_ += n_tokens;
    waiting_.push_back(std::move(request));
  }
  changed_.notify_one();
  return id;
}

bool RequestQueue::cancel(uint64_t id) {
  std::shared_ptr<Request> request;
  {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& r) { return r->id == id; });
    if (found == waiting_.end() || (*found)->n_taken > 0) return false;
    request = std::move(*found);
    waiting_.erase(found);
    waiting_tokens_ -= request->n_waiting_tokens();
  }
  request->done(*request, Refusal::kCancelled, "the request was cancelled");
  return true;
}

// Of the pieces that the first request could share a pass with.
bool RequestQueue::batch_is_full() const {
  const Request& first = *waiting_.front();
  int64_t n_tokens = 0;
  size_t n_pieces = 0;
  for (const auto& request : waiting_) {
    if (!request->shares_pass_with(first)) continue;
    n_tokens += request->n_waiting_tokens();
    n_pieces += request->pieces.size() - request->n_taken;
    if (n_tokens >= limits_.batch_tokens || n_pieces >= limits_.batch_pieces) return true;
  }
  return false;
}

std::vector<RequestQueue::Taken> RequestQueue::take_pieces() {
  std::vector<Taken> taken;
  const std::shared_ptr<Request> first = waiting_.front();
  int64_t n_tokens = 0;
  bool full = false;
  std::deque<std::shared_ptr<Request>> begun;  // with pieces left
  for (auto at = waiting_.begin(); at != waiting_.end() && !full;) {
    const std::shared_ptr<Request> request = *at;
    if (!request->shares_pass_with(*first)) {
      ++at;
      continue;
    }
    while (request->n_taken < request->pieces.size()) {
      const int64_t n_more = request->pieces[request->n_taken].n_tokens;
      full = taken.size() == limits_.batch_pieces ||
             (!taken.empty() && n_tokens + n_more > limits_.batch_tokens);
      if (full) break;
      n_tokens += n_more;
      waiting_tokens_ -= n_more;
      taken.push_back({request, request->n_taken++});
    }
    if (request->n_taken == 0) break;
    if (request->n_taken < request->pieces.size()) begun.push_back(request);
    at = waiting_.erase(at);
  }
  waiting_.insert(waiting_.end(), begun.begin(), begun.end());
  return taken;
}

void RequestQueue::run_tasks(std::unique_lock<std::mutex>& lock) {
  while (!tasks_.empty()) {
    Task* const task = tasks_.front();
    tasks_.pop_front();
    lock.unlock();
    try {
      (*task->run)();
    } catch (...) {
      task->thrown = std::current_exception();
    }
    lock.lock();
    task->done = true;
    task_done_.notify_all();
  }
}

// Requests that have begun are finished.
void RequestQueue::end_late(std::unique_lock<std::mutex>& lock) {
  std::vector<std::shared_ptr<Request>> late;
  const Request::Clock::time_point now = Request::Clock::now();
  std::erase_if(waiting_, [&](const std::shared_ptr<Request>& request) {
    if (request->n_taken > 0 || request->deadline >= now) return false;
    waiting_tokens_ -= request->n_waiting_tokens();
    late.push_back(request);
    return true;
  });
  if (late.empty()) return;
  lock.unlock();
  for (const auto& request : late) {
    request->done(*request, Refusal::kDeadline, "the request's time ran out while it waited");
  }
  lock.lock();
}

std::vector<RequestQueue::Taken> RequestQueue::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    run_tasks(lock);
    end_late(lock);
    if (!tasks_.empty()) continue;
    if (closed_) {
      const auto cancelled = std::exchange(waiting_, {});
      lock.unlock();
      for (const auto& request : cancelled) {
        request->done(*request, Refusal::kCancelled, "the model was closed");
      }
      return {};
    }
    if (waiting_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const Request::Clock::time_point go = waiting_.front()->arrival + limits_.delay;
    if (batch_is_full() || Request::Clock::now() >= go) return take_pieces();
    changed_.wait_until(lock, go);
  }
}

void RequestQueue::run_between(const std::function<void()>& run) {
  Task task{.run = &run};
  std::unique_lock lock(mutex_);
  if (closed_) throw Refused(Refusal::kCancelled, "the model is being closed");
  tasks_.push_back(&task);
  changed_.notify_one();
  task_done_.wait(lock, [&] { return task.done; });
  if (task.thrown) std::rethrow_exception(task.thrown);
}

void RequestQueue::drop(const Request& request) {
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [&](const std::shared_ptr<Request>& waiting) {
    if (waiting.get() != &request) return false;
    waiting_tokens_ -= request.n_waiting_tokens();
    return true;
  });
}

void RequestQueue::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

}  // namespace qe
