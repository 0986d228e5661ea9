// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/token_cache.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

namespace fs = std::filesystem;

/// Text files, a folder for caches, and what was logged.
class CacheTest {
 public:
  CacheTest() : tokenizer(Tokenizer::load(test::example_path("tiny-mlm"))) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "the king of france " + std::to_string(i) + "\n";
    path = folder.write("train.txt", text);
    request = {.data = files({path}),
               .options = {.max_length = 16, .line_by_line = true, .tokens_per_shard = 500},
               .name = "train.txt",
               .vocab_size = 8192};
    place.folder = folder.path() + "/cache";
  }

  TokenDataset get() {
    infos.clear();
    warnings.clear();
    const Log log([&](LogLevel level, const std::string& line) {
      (level == LogLevel::kInfo ? infos : warnings).push_back(line);
    });
    return cached_tokens(request, tokenizer, place, threads, log);
  }
  bool hit() const {
    return infos.size() == 1 && infos[0].find(" samples from ") != std::string::npos;
  }
  static std::shared_ptr<DataFiles> files(std::vector<std::string> paths) {
    return std::make_shared<DataFiles>(std::move(paths));
  }
  std::vector<fs::path> caches() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(place.folder)) found.push_back(entry.path());
    return found;
  }

  TemporaryFolder folder;
  std::string path;  // of the text
  Tokenizer tokenizer;
  ThreadPool threads{2};
  TokenRequest request;
  TokenCachePlace place;
  std::vector<std::string> infos, warnings;
};

TEST_CASE("token_cache: the second run maps what the first one tokenized") {
  CacheTest test;
  const TokenDataset first = test.get();
  CHECK_FALSE(test.hit());
  CHECK(first.size() == 300);
  const TokenDataset second = test.get();
  CHECK(test.hit());
  CHECK(second.hash() == first.hash());
  CHECK(second.size() == 300);
  CHECK(test.caches().size() == 1);
  CHECK(fs::exists(test.caches()[0] / "000003.shard"));
  // Another name for the same content, and another folder for the same cache.
  test.request.data = test.files({test.folder.write("copy.txt", content_of(test.path))});
  CHECK(test.get().hash() == first.hash());
  CHECK(test.hit());
  test.place.overwrite = true;
  CHECK(test.get().hash() == first.hash());
  CHECK_FALSE(test.hit());
  CHECK(test.caches().size() == 1);
}

TEST_CASE("token_cache: whatever changes the samples makes another cache") {
  CacheTest test;
  const TokenRequest base = test.request;
  test.get();
  size_t n = 1;
  const auto is_new = [&](const char* what) {
    CAPTURE(what);
    test.get();
    CHECK_FALSE(test.hit());
    CHECK(test.caches().size() == ++n);
    test.get();
    CHECK(test.hit());
    test.request = base;
  };
  test.request.options.max_length = 17;
  is_new("max_length");
  test.request.options.line_by_line = false;
  is_new("line_by_line");
  test.request.options.line_by_line = false;
  test.request.options.wrap_pieces = true;
  is_new("wrap_pieces");
  test.request.options.max_samples = 10;
  is_new("max_samples");
  test.request.part = {RowPart::Which::kFirst, 0.1};
  is_new("the first rows");
  test.request.part = {RowPart::Which::kRest, 0.1};
  is_new("the other rows");
  test.request.part = {RowPart::Which::kRest, 0.2};
  is_new("fewer of them");
  test.request.data = test.files({test.folder.write("train.txt", "another text\n")});
  is_new("the data");
  test.request.data = test.files({test.folder.write("a.csv", "text,other\nthis,that\n")});
  is_new("the type of the data");
  test.request.data = test.files({test.folder.path() + "/a.csv"});
  test.request.columns.text = "other";
  is_new("the column");
  const std::string model = test.folder.path() + "/model";
  fs::copy(test::example_path("tiny-mlm"), model, fs::copy_options::recursive);
  fs::permissions(model + "/tokenizer.json", fs::perms::owner_all);
  std::ofstream(model + "/tokenizer.json", std::ios::app) << " ";
  test.tokenizer = Tokenizer::load(model);
  test.request.data = test.files({test.folder.write("train.txt", "the text again\n")});
  is_new("the tokenizer");
}

TEST_CASE("token_cache: the first rows and the others are all rows") {
  CacheTest test;
  const auto words = [](const TokenDataset& dataset) {
    std::vector<std::vector<int32_t>> list;
    for (int64_t s = 0; s < dataset.size(); ++s) {
      list.emplace_back(dataset.ids(s).begin(), dataset.ids(s).end());
    }
    return list;
  };
  const auto all = words(test.get());
  test.request.part = {RowPart::Which::kFirst, 0.105};  // 31.5 rows
  auto joined = words(test.get());
  CHECK(joined.size() == 32);
  test.request.part.which = RowPart::Which::kRest;
  for (auto& sample : words(test.get())) joined.push_back(std::move(sample));
  CHECK(joined == all);
}

TEST_CASE("token_cache: what is broken is named and made again") {
  CacheTest test;
  const std::string hash = test.get().hash();
  const std::string cache = test.caches()[0].string();
  const std::string shard = cache + "/000001.shard";
  const std::string manifest = cache + "/tokens.json";
  const auto is_mended = [&](const char* how, const std::string& named) {
    CAPTURE(how);
    CHECK(test.get().hash() == hash);
    REQUIRE(test.warnings.size() == 1);
    CHECK(test.warnings[0].starts_with(named));
    CHECK(test.warnings[0].ends_with("; train.txt is tokenized again"));
    CHECK(test.get().hash() == hash);
    CHECK(test.hit());
    CHECK(test.caches().size() == 1);
  };
  const auto overwrite = [](const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  };
  const std::string bytes = content_of(shard);
  overwrite(shard, bytes.substr(0, bytes.size() - 1));
  is_mended("a truncated shard", shard);
  std::string changed = bytes;
  changed[bytes.size() / 2] ^= 1;
  overwrite(shard, changed);
  is_mended("a changed bit", shard);
  overwrite(shard, "");
  is_mended("an empty shard", shard);
  fs::remove(shard);
  is_mended("a missing shard", shard);
  const std::string text = content_of(manifest);
  overwrite(manifest, text.substr(0, text.size() / 2));
  is_mended("half a manifest", manifest);
  fs::remove(manifest);
  is_mended("no manifest", manifest);
  overwrite(manifest, "{}");
  is_mended("a foreign manifest", manifest);
  std::string other = text;
  other.replace(other.find("\"max_length\": 16"), 16, "\"max_length\": 15");
  overwrite(manifest, other);
  is_mended("a manifest of other settings", manifest + ": made for other data");
}

TEST_CASE("token_cache: a failed run leaves nothing, an old one's leftovers are removed") {
  CacheTest test;
  fs::create_directories(test.place.folder + "/.tokens-1.tmp-1-0");
  const fs::path old = test.place.folder + "/.tokens-2.tmp-1-0";
  fs::create_directories(old);
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(25));
  test.request.data = test.files({test.path, test.folder.write("z.jsonl", "{broken\n")});
  CHECK(error_of([&] { test.get(); }).find("z.jsonl:1") != std::string::npos);
  CHECK(test.caches().size() == 1);  // the young one may be somebody's work
  CHECK_FALSE(fs::exists(old));
}

TEST_CASE("token_cache: without a folder, or where it may not write, nothing is kept") {
  CacheTest test;
  const std::string hash = test.get().hash();
  test.place.folder += "2";
  test.place.may_write = false;
  CHECK(test.get().hash() == hash);
  CHECK_FALSE(fs::exists(test.place.folder));
  test.place.folder = "";
  const TokenDataset dataset = test.get();
  CHECK(dataset.hash() == hash);
  CHECK(dataset.ids(299).size() > 4);
}

TEST_CASE("token_cache: invalid UTF-8 is reported by every run") {
  CacheTest test;
  test.request.data = test.files({test.folder.write("bytes.txt", "king \xff of \xc3\nfine\n")});
  test.request.name = "bytes.txt";
  for (int run = 0; run < 2; ++run) {
    test.get();
    CHECK(test.warnings ==
          std::vector<std::string>{"bytes.txt: 2 invalid UTF-8 sequences were replaced by U+FFFD"});
  }
}

}  // namespace
}  // namespace qe
