// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/serve/request_queue.h"

#include <doctest/doctest.h>

#include <thread>

namespace qe {
namespace {

using namespace std::chrono_literals;

struct Ended {
  std::vector<Refusal> why;
};

// A request of pieces with these many tokens each.
std::shared_ptr<Request> request_of(std::vector<int64_t> tokens, Ended& ended,
                                    RequestKind kind = RequestKind::kEmbed) {
  auto request = std::make_shared<Request>();
  request->kind = kind;
  for (size_t i = 0; i < tokens.size(); ++i) {
    request->pieces.push_back({.text = i, .n_tokens = tokens[i]});
  }
  request->done = [&ended](Request&, Refusal why, const std::string&) { ended.why.push_back(why); };
  return request;
}

std::vector<std::pair<uint64_t, size_t>> ids_of(const std::vector<RequestQueue::Taken>& taken) {
  std::vector<std::pair<uint64_t, size_t>> ids;
  for (const auto& part : taken) ids.emplace_back(part.request->id, part.piece);
  return ids;
}

using Ids = std::vector<std::pair<uint64_t, size_t>>;

}  // namespace

TEST_CASE("request queue: a batch holds what fits, and a long request goes behind the others") {
  RequestQueue queue({.batch_tokens = 10, .batch_pieces = 3});
  Ended ended;
  CHECK(queue.put(request_of({4, 4, 4, 4, 4}, ended)) == 1);
  CHECK(queue.put(request_of({2}, ended)) == 2);
  CHECK(queue.put(request_of({3}, ended, RequestKind::kFill)) == 3);
  CHECK(queue.put(request_of({1, 1}, ended)) == 4);
  CHECK(ids_of(queue.take()) == Ids{{1, 0}, {1, 1}});          // 4 more would be 12
  CHECK(ids_of(queue.take()) == Ids{{2, 0}, {4, 0}, {4, 1}});  // 3 pieces
  CHECK(ids_of(queue.take()) == Ids{{3, 0}});                  // shares no pass
  CHECK(ids_of(queue.take()) == Ids{{1, 2}, {1, 3}});
  CHECK(ids_of(queue.take()) == Ids{{1, 4}});
  CHECK(queue.put(request_of({40}, ended)) == 5);  // larger than a batch: alone
  CHECK(queue.put(request_of({1}, ended)) == 6);
  CHECK(ids_of(queue.take()) == Ids{{5, 0}});
  CHECK(ids_of(queue.take()) == Ids{{6, 0}});
  CHECK(ended.why.empty());
}

TEST_CASE("request queue: full, cancelled, late, failed, closed") {
  RequestQueue queue({.waiting_tokens = 8, .batch_tokens = 4});
  Ended ended;
  const uint64_t large = queue.put(request_of({4, 4, 4}, ended));  // nothing else waits
  const auto refused = [&](std::vector<int64_t> tokens) {
    try {
      queue.put(request_of(tokens, ended));
    } catch (const Refused& error) {
      return error.why;
    }
    return Refusal::kNone;
  };
  CHECK(refused({1}) == Refusal::kOverloaded);
  CHECK(ids_of(queue.take()) == Ids{{large, 0}});
  CHECK(refused({1}) == Refusal::kOverloaded);
  CHECK(ids_of(queue.take()) == Ids{{large, 1}});
  CHECK_FALSE(queue.cancel(large));  // it has begun
  const uint64_t small = queue.put(request_of({4}, ended));
  CHECK(queue.cancel(small));
  CHECK_FALSE(queue.cancel(small));
  CHECK(ended.why == std::vector{Refusal::kCancelled});

  auto late = request_of({1}, ended);
  late->deadline = Request::Clock::now() - 1ms;
  queue.put(late);
  CHECK(ids_of(queue.take()) == Ids{{large, 2}});
  CHECK(ended.why == std::vector{Refusal::kCancelled, Refusal::kDeadline});

  const auto failing = request_of({4, 4}, ended);
  queue.put(failing);
  CHECK(queue.take().size() == 1);
  queue.drop(*failing);
  queue.put(request_of({4}, ended));
  queue.put(request_of({4}, ended));  // dropped tokens count no more
  queue.close();
  CHECK(refused({1}) == Refusal::kCancelled);
  CHECK(queue.take().empty());
  CHECK(ended.why == std::vector{Refusal::kCancelled, Refusal::kDeadline, Refusal::kCancelled,
                                 Refusal::kCancelled});
}

TEST_CASE("request queue: a batch that is not full waits for company, and no longer") {
  Ended ended;
  RequestQueue patient({.batch_tokens = 4, .delay = 1h});
  patient.put(request_of({1}, ended));
  std::thread other([&] { patient.put(request_of({3}, ended)); });
  CHECK(patient.take().size() == 2);  // full
  other.join();
  RequestQueue queue({.batch_tokens = 4, .delay = 5ms});
  const auto begin = Request::Clock::now();
  queue.put(request_of({1}, ended));
  CHECK(queue.take().size() == 1);
  CHECK(Request::Clock::now() - begin >= 5ms);
}

TEST_CASE("request queue: tasks run between batches, on the thread that takes") {
  RequestQueue queue({});
  std::thread::id serving;
  std::thread server([&] {
    serving = std::this_thread::get_id();
    while (!queue.take().empty()) {
    }
  });
  std::thread::id ran;
  queue.run_between([&] { ran = std::this_thread::get_id(); });
  CHECK_THROWS_WITH_AS(queue.run_between([] { fail("no"); }), "no", Error);
  queue.close();
  server.join();
  CHECK(ran == serving);
  CHECK_THROWS_AS(queue.run_between([] {}), Refused);
}

}  // namespace qe
