// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/event_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "kernels/core/error.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace fs = std::filesystem;
using qe::EventFile, qe::content_of;

TEST_CASE("event_file: the bytes of TensorBoard's own writer") {
  const qe::TemporaryFolder folder;
  double time = 1700000000.25;
  int n_calls = 0;
  // The first call names the file.
  EventFile file(folder.path(), 301, [&] { return n_calls++ == 0 ? time : time++; });
  file.append_text(0, "args", "{\"bits\": 4, \"dot\": \"\xc2\xb7\"}");
  file.append_scalars(301, {{"train/loss", 2.4721f},
                            {"train/learning_rate", 5e-5f},
                            {"train/grad_norm", 0.0f},
                            {"train/epoch", 1.25f}});
  file.append_scalars(int64_t{1} << 40,
                      {{"eval/" + std::string(200, 'x'), -1.5f},
                       {"eval/loss", std::numeric_limits<float>::quiet_NaN()},
                       {"eval/perplexity", std::numeric_limits<float>::infinity()}});
  const std::string expected = content_of(qe::test::golden_path("events.tfevents"));
  REQUIRE(expected.size() > 500);
  CHECK(content_of(file.path()) == expected);
  CHECK(fs::path(file.path()).filename().string().starts_with("events.out.tfevents.1700000000."));
}

TEST_CASE("event_file: a file is by name after all that are there") {
  const qe::TemporaryFolder folder;
  const auto at = [](double second) { return [=] { return second; }; };
  const std::string first = EventFile(folder.path(), std::nullopt, at(1700000000)).path();
  const std::string same_second = EventFile(folder.path(), std::nullopt, at(1700000000)).path();
  const std::string clock_set_back = EventFile(folder.path(), std::nullopt, at(1600000000)).path();
  CHECK(first < same_second);
  CHECK(same_second < clock_set_back);
}

TEST_CASE("event_file: the newest folder is that of the newest file") {
  const qe::TemporaryFolder folder;
  CHECK_FALSE(qe::newest_event_folder(folder.path() + "/absent"));
  folder.write("file", "");
  fs::create_directory(folder.path() + "/empty");
  CHECK_FALSE(qe::newest_event_folder(folder.path()));
  EventFile(folder.path() + "/Nov26", std::nullopt, [] { return 1700000000.0; });
  EventFile(folder.path() + "/Dec01", std::nullopt, [] { return 1800000000.0; });
  EventFile(folder.path() + "/Oct01", std::nullopt, [] { return 1600000000.0; });
  CHECK(qe::newest_event_folder(folder.path()) == folder.path() + "/Dec01");
}

TEST_CASE("event_file: a folder that cannot be is one error") {
  const qe::TemporaryFolder folder;
  folder.write("file", "");
  CHECK_THROWS_AS(EventFile(folder.path() + "/file", std::nullopt), qe::Error);
}
