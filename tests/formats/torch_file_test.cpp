// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Files of torch.save: what torch wrote (tests/golden/torch_files, made by
// scripts/make_torch_file_goldens.py), and every refusal over files made here.
#include "formats/torch_file.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "formats/safetensors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/torch_writer.h"

namespace qe {
namespace {

const std::string kGolden = QE_SOURCE_DIR "/tests/golden/torch_files";

// The message of reading `content`, without the path; "" when it is read.
std::string read_error(const std::string& content) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.bin", content);
  const std::string message = error_of([&] { TorchFile file(path); });
  if (message.empty()) return message;
  CHECK(message.starts_with(path + ": "));
  CHECK(message.find('\n') == std::string::npos);
  return message.substr(std::min(message.size(), path.size() + 2));
}

std::string archive_error(const std::string& pickle, const std::vector<std::string>& storages) {
  return read_error(test::zip_of(test::torch_entries(pickle, storages)));
}

// A dict of one tensor "x" of the storage "0" of six fp32.
std::string six_floats(int64_t offset, const std::vector<int64_t>& shape,
                       const std::vector<int64_t>& strides) {
  return test::pickled_dict(
      test::pickled("x") +
      test::pickled_tensor(test::pickled_storage("FloatStorage", "0", 6), offset, shape, strides));
}
const std::string kSixFloats(24, '\0');

std::string small_archive() {
  return test::zip_of(test::torch_entries(six_floats(0, {2, 3}, {3, 1}), {kSixFloats}));
}

void check_equal(const TorchFile& file, const SafetensorsFile& golden) {
  CHECK(file.tensors().size() == golden.tensors().size());
  for (const auto& [name, expected] : golden.tensors()) {
    CAPTURE(name);
    const auto found = file.tensors().find(name);
    REQUIRE(found != file.tensors().end());
    const StoredTensor& tensor = found->second;
    CHECK(tensor.name == name);
    CHECK(tensor.dtype == expected.dtype);
    CHECK(tensor.shape == expected.shape);
    CHECK(std::equal(tensor.bytes.begin(), tensor.bytes.end(), expected.bytes.begin(),
                     expected.bytes.end()));
  }
}

}  // namespace

TEST_CASE("state dicts of both formats of torch.save are what safetensors says") {
  const SafetensorsFile golden(kGolden + "/state.safetensors");
  for (const char* name : {"state.bin", "state_legacy.bin"}) {
    CAPTURE(name);
    const TorchFile file(kGolden + "/" + name);
    check_equal(file, golden);
    // Storages are mapped once.
    const auto& tensors = file.tensors();
    CHECK(tensors.at("tied").bytes.data() == tensors.at("f32").bytes.data());
    CHECK(tensors.at("rows").bytes.data() == tensors.at("f32").bytes.data() + 24);
    CHECK(*tensors.at("rows").file == kGolden + "/" + name);
  }
}

TEST_CASE("archives with zip64 fields, a comment and a file's name for a folder") {
  const TemporaryFolder folder;
  for (const bool zip64 : {false, true}) {
    auto entries = test::torch_entries(six_floats(1, {2, 2}, {2, 1}), {kSixFloats});
    for (test::ZipEntry& entry : entries) {
      entry.name.replace(0, 7, "pytorch_model");
      entry.in_64 = zip64;
    }
    const std::string bytes =
        test::zip_of(entries, {.zip64 = zip64, .comment = "a comment PK\x05\x06"});
    const TorchFile file(folder.write("t.bin", bytes));
    CHECK(file.tensors().at("x").shape == std::vector<int64_t>{2, 2});
  }
}

TEST_CASE("pickles that ask for anything but tensors are refused by name") {
  using test::pickled;
  using test::pickled_global;
  const auto error = [](const std::string& body) { return archive_error("\x80\x02" + body, {}); };
  const std::string only = "; only tensors are read";
  CHECK(error(pickled_global("builtins", "eval") + "(" + pickled("1") + "tR.") ==
        "the pickle asks for builtins.eval" + only);
  CHECK(error(pickled_global("os", "system") + ".") == "the pickle asks for os.system" + only);
  CHECK(error(pickled_global("torch._utils", "_rebuild_tensor_v3") + ".") ==
        "the pickle asks for torch._utils._rebuild_tensor_v3" + only);
  CHECK(error(pickled_global("torch", "ComplexFloatStorage") + ".") ==
        "the pickle asks for torch.ComplexFloatStorage" + only);
  CHECK(error("(ios\nsystem\n.") == "the pickle asks for os.system" + only);
  CHECK(error(pickled_global("a\x1b[31m", std::string(500, 'b')) + ".").size() < 300);
  for (const char op : {'\x81', '\x82', '\x93', 'o', 'I', 'P', 'G', '0', '2', '\x95'}) {
    CHECK(error(std::string(1, op) + ".") ==
          cat("opcode ", static_cast<int>(static_cast<uint8_t>(op)),
              " at byte 2 of the pickle is none that tensors need", only));
  }
  CHECK(archive_error("\x80\x04}.", {}) ==
        "pickle protocol 4, only 2 is read, which torch.save writes");
  CHECK(archive_error("}.", {}) == "expected a pickle, which begins with its protocol");
  CHECK(archive_error("", {}) == "expected a pickle, which begins with its protocol");
}

TEST_CASE("pickles are checked opcode by opcode") {
  using test::pickled;
  const auto error = [](const std::string& body) { return archive_error("\x80\x02" + body, {}); };
  const std::string dict = test::pickled_global("collections", "OrderedDict");
  CHECK(error("}.") == "");
  CHECK(error(dict + ")R}" + pickled("_metadata") + "}sb.") == "");  // attributes
  CHECK(error("}") == "the pickle ends in the middle, at byte 3");
  CHECK(error("}X\xff\xff\xff\xff.") == "the pickle ends in the middle, at byte 9");
  CHECK(error("cos") == "the pickle ends in the middle, at byte 5");
  CHECK(error(".") == "opcode at byte 2 of the pickle lacks its operand");
  CHECK(error("u.") == "opcode at byte 2 of the pickle lacks its mark");
  CHECK(error("}(K\x01u.") == "a key without a value in the pickle");
  CHECK(error("}(s.") == "opcode at byte 4 of the pickle lacks its operand");
  CHECK(error("}}.") == "the pickle ends with 1 values left over");
  CHECK(error("(}.") == "the pickle ends with 0 values left over");
  CHECK(error("]K\x01K\x02s.") == "expected a dict before byte 8 of the pickle, got a list");
  CHECK(error("}K\x01"
              "a.") == "expected a list before byte 6 of the pickle, got a dict");
  CHECK(error("}K\x01"
              "b.") == "expected a dict before byte 6 of the pickle, got a number");
  CHECK(error("h\x01.") == "memo 1 of the pickle is not there");
  CHECK(error("}q\x01.") == "memo 1 of the pickle after 0");
  CHECK(error("}r\xff\xff\xff\xff.") == "memo 4294967295 of the pickle after 0");
  CHECK(error("}\x8a\x09" + std::string(9, '\0') + ".") == "a number of 9 bytes in the pickle");
  CHECK(error(")) R.").starts_with("opcode 32"));
  CHECK(error("N)R.") == "expected a function before byte 5 of the pickle, got nothing");
  CHECK(error(dict + "K\x01R.").ends_with("of the pickle, got a number"));
  CHECK(error(dict + "(K\x01tR.").starts_with("expected an empty OrderedDict"));
  CHECK(error(test::pickled_global("torch._utils", "_rebuild_parameter") + ")R.")
            .starts_with("expected a parameter of a tensor"));
  CHECK(error("K\x01Q.").starts_with("expected a tuple"));
  CHECK(error(")Q.") == "the pickle refers to something that is no storage of a tensor");
  CHECK(error("(" + pickled("module") + "tQ.") ==
        "the pickle refers to something that is no storage of a tensor: \"module\"");
  CHECK(error("(" + pickled("storage") + "tQ.").starts_with("expected (\"storage\", type, key"));
  CHECK(error(test::pickled_storage("FloatStorage", "0", -1) + ".") ==
        "storage \"0\" of -1 elements");
  CHECK(error(test::pickled_storage("FloatStorage", "0", 1) +
              test::pickled_storage("HalfStorage", "0", 2) + ".") ==
        "storage \"0\" is 1 of F32 and 2 of F16");
  CHECK(error("}.}") == "1 bytes follow the pickle");
  CHECK(error("K\x01.") == "expected a dict of tensors, got a number");
  CHECK(error("}K\x01N"
              "s.") == "expected the name of a tensor, got a number");
  CHECK(error("}" + pickled("state_dict") + "}s.") ==
        "\"state_dict\": expected a tensor, got a dict");
  CHECK(error("}" + pickled("x") + dict + "s.") == "\"x\": expected a tensor, got a function");
}

TEST_CASE("hostile pickles take bounded memory and no depth") {
  // Lists inside of lists, as a reader by recursion would follow them.
  std::string deep = "\x80\x02" + std::string(1000000, ']') + std::string(999999, 'a') + ".";
  CHECK(archive_error(deep, {}) == "expected a dict of tensors, got a list");
  CHECK(archive_error("\x80\x02]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a.",
                      {}) == "expected a dict of tensors, got a list");  // inside of itself
  CHECK(archive_error("\x80\x02" + std::string(5000000, ']'), {})
            .starts_with("the pickle is above the limit"));
  CHECK(archive_error("\x80\x02" + std::string(5000000, '('), {})
            .starts_with("the pickle is above the limit"));
}

TEST_CASE("views must lie in their storage") {
  const auto error = [](int64_t offset, const std::vector<int64_t>& shape,
                        const std::vector<int64_t>& strides) {
    return archive_error(six_floats(offset, shape, strides), {kSixFloats});
  };
  constexpr int64_t kMax = INT64_MAX;
  CHECK(error(0, {2, 3}, {3, 1}) == "");
  CHECK(error(0, {3, 2}, {1, 3}) == "");
  CHECK(error(5, {}, {}) == "");
  CHECK(error(kMax, {0, kMax, kMax}, {kMax, kMax, -1}) == "");  // no element
  CHECK(error(1, {2, 3}, {3, 1}) ==
        "tensor \"x\": shape [2, 3] with strides [3, 1] from element 1 is beyond its storage of 6 "
        "elements");
  for (const auto& [offset, shape, strides] :
       std::vector<std::tuple<int64_t, std::vector<int64_t>, std::vector<int64_t>>>{
           {-1, {1}, {1}},
           {6, {1}, {1}},
           {6, {}, {}},
           {kMax, {2}, {1}},
           {5, {2}, {-1}},
           {0, {7}, {1}},
           {0, {3, 3}, {2, 1}},
           {0, {2, 2}, {kMax, kMax}},
           {0, {kMax, kMax}, {kMax, 1}},
           {kMax, {kMax, kMax}, {1, 1}}}) {
    CHECK(error(offset, shape, strides).find("is beyond its storage of 6") != std::string::npos);
  }
  CHECK(error(0, {-1}, {1}) == "tensor \"x\": negative dimension -1");
  CHECK(error(0, {kMax, kMax}, {0, 0}) ==
        cat("tensor \"x\": shape [", kMax, ", ", kMax, "] overflows"));
  CHECK(error(0, {1000, 1000}, {0, 0}) ==
        "tensor \"x\": a view of 4000000 bytes with strides: such views take more memory than the "
        "file has bytes");
  CHECK(error(0, {2}, {1, 1}).starts_with("a tensor whose shape and strides differ in length"));
  CHECK(error(0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1)) ==
        "a tensor of 9 dimensions, at most 8 are read");
  // Many views that are small each.
  std::string items;
  for (int i = 0; i < 1000; ++i) {
    items +=
        test::pickled(std::to_string(i)) +
        test::pickled_tensor(test::pickled_storage("FloatStorage", "0", 6), 0, {100, 100}, {0, 0});
  }
  CHECK(archive_error(test::pickled_dict(items), {kSixFloats})
            .ends_with("such views take more memory than the file has bytes"));
}

TEST_CASE("tensors may share storages, but not without end") {
  const auto error = [](int n_tensors) {
    std::string items;
    for (int i = 0; i < n_tensors; ++i) {
      items += test::pickled(std::to_string(i));
      items += i == 0 ? test::pickled_tensor(test::pickled_storage("FloatStorage", "0", 4096), 0,
                                             {4096}, {1}) +
                            "q" + std::string(1, '\0')
                      : "h" + std::string(1, '\0');
    }
    return archive_error(test::pickled_dict(items), {std::string(4096 * 4, '\0')});
  };
  CHECK(error(60) == "");
  CHECK(error(100).starts_with("tensors that share storages add up to more than 64 times"));
}

TEST_CASE("names and storages of an archive must fit its pickle") {
  using test::pickled;
  const std::string pickle = six_floats(0, {6}, {1});
  CHECK(archive_error(pickle, {}) == "no entry \"archive/data/0\" in the archive");
  CHECK(archive_error(pickle, {"short"}) ==
        "entry \"archive/data/0\": expected 6 of F32, got 5 bytes");
  const std::string x =
      pickled("x") +
      test::pickled_tensor(test::pickled_storage("FloatStorage", "0", 6), 0, {6}, {1});
  CHECK(archive_error(test::pickled_dict(x + x), {kSixFloats}) == "tensor \"x\" is there twice");
  CHECK(archive_error(test::pickled_dict(
                          pickled("x") +
                          test::pickled_tensor(
                              test::pickled_storage("FloatStorage", "0", INT64_MAX), 0, {6}, {1})),
                      {kSixFloats}) == cat("storage \"0\" of ", INT64_MAX, " elements overflows"));
  auto entries = test::torch_entries(pickle, {kSixFloats});
  entries[1].data = "big";
  CHECK(read_error(test::zip_of(entries)) ==
        "byte order \"big\", only little-endian files are read");
  entries[1] = {.name = "archive/constants.pkl", .data = "\x80\x02)."};
  CHECK(read_error(test::zip_of(entries)) ==
        "is a TorchScript program; expected a state dict (torch.save)");
  entries[1] = {.name = "other/data.pkl", .data = "\x80\x02}."};
  CHECK(read_error(test::zip_of(entries)) ==
        "two pickles, \"archive/data.pkl\" and \"other/data.pkl\"");
  CHECK(read_error(test::zip_of({{.name = "word/document.xml", .data = "x"}})) ==
        "a zip archive, but none of torch.save's: it has no data.pkl");
}

TEST_CASE("zip archives are checked") {
  const auto error = [](const std::function<void(std::vector<test::ZipEntry>&)>& change,
                        const test::ZipFile& file = {}) {
    auto entries = test::torch_entries(six_floats(0, {6}, {1}), {kSixFloats});
    change(entries);
    return read_error(test::zip_of(entries, file));
  };
  const auto same = [](auto&) {};
  CHECK(error(same) == "");
  CHECK(error([](auto& e) { e[2].method = 8; }) ==
        "entry \"archive/data/0\" is compressed (method 8); torch.save stores its entries as they "
        "are");
  CHECK(error([](auto& e) { e[2].flags = 1; }) == "entry \"archive/data/0\" is encrypted");
  CHECK(error([](auto& e) { e[2].size = 25; }) == "entry \"archive/data/0\" of 25 bytes takes 24");
  CHECK(error([](auto& e) {
          e[2].stored = e[2].size = 1 << 20;
        }).find("is beyond the file's data") != std::string::npos);
  CHECK(error([](auto& e) {
          e[2].stored = e[2].size = INT64_MAX;
          e[2].in_64 = true;
        }).find("is beyond the file's data") != std::string::npos);
  CHECK(error([](auto& e) { e[2].header = 1; }) == "entry \"archive/data/0\": no header at byte 1");
  CHECK(error([](auto& e) { e[2].header = 0; }) ==
        "entry \"archive/data/0\": its header has another name");
  CHECK(error([](auto& e) { e[2].local_name = "archive/data/1"; }) ==
        "entry \"archive/data/0\": its header has another name");
  CHECK(error([](auto& e) { e.push_back(e[2]); }) == "entry \"archive/data/0\" is there twice");
  CHECK(error([](auto& e) { e[1].stored = e[1].size = 40; }) ==
        "entry \"archive/data/0\" overlaps \"archive/byteorder\"");
  CHECK(error(same, {.n_entries = 3}).ends_with("bytes too many in the zip directory"));
  CHECK(error(same, {.n_entries = 5}).starts_with("no entry of the zip directory at byte "));
  CHECK(error(same, {.directory_size = 100}).find("zip directory") != std::string::npos);
  CHECK(error(same, {.directory_begin = 1}).starts_with("no entry of the zip directory at byte 1"));
  for (const bool zip64 : {false, true}) {
    CHECK(error(same, {.zip64 = zip64, .directory_size = 1 << 20}).ends_with("is beyond the file"));
  }
  CHECK(error(same, {.zip64 = true, .directory_begin = INT64_MAX}).ends_with("is beyond the file"));
  CHECK(read_error("PK\x03\x04") == "a zip archive without its directory; truncated file?");
}

TEST_CASE("what torch.save did not write is named") {
  CHECK(read_error("") ==
        "expected what torch.save writes (a zip archive, or pickles that begin with its magic "
        "number), got 0 bytes that begin with \"\"");
  CHECK(read_error("\x80\x04\x95"
                   "abc")
            .starts_with("expected what torch.save writes"));
  CHECK(read_error(std::string(257, '\0') + "ustar" + std::string(100, '\0')) ==
        "is a tar archive, as torch.save wrote before 2017; save the model again");
  CHECK(read_error("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n") ==
        "is a Git LFS pointer: the weights themselves were not downloaded (git lfs pull)");
}

TEST_CASE("legacy files are checked to their last byte") {
  const std::string good = content_of(kGolden + "/state_legacy.bin");
  REQUIRE(read_error(good) == "");
  CHECK(read_error(good + "x") == "1 bytes follow the last storage");
  const auto with = [&](const std::string& from, const std::string& to) {
    const size_t at = good.find(from);
    REQUIRE(at != std::string::npos);
    std::string changed = good;
    return read_error(changed.replace(at, from.size(), to));
  };
  CHECK(with(test::pickled("little_endian") + "q\x02\x88",
             test::pickled("little_endian") + "q\x02\x89") == "only little-endian files are read");
  CHECK(with("OrderedDict", "Counter0000").find("asks for collections.Counter0000") !=
        std::string::npos);
}

TEST_CASE("no truncated file is read, and no changed byte does harm") {
  const std::string legacy = content_of(kGolden + "/state_legacy.bin");
  for (const std::string& good : {small_archive(), legacy}) {
    REQUIRE(read_error(good) == "");
    for (size_t n = 0; n < good.size(); n += n < 700 ? 1 : 7) {
      if (read_error(good.substr(0, n)).empty()) FAIL_CHECK("the first ", n, " bytes are read");
    }
    const TemporaryFolder folder;
    for (size_t i = 0; i < std::min<size_t>(good.size(), 1500); ++i) {
      for (const char change : {'\x01', '\x80', '\xff'}) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ change);
        const std::string path = folder.write("t.bin", bad);
        error_of([&] {
          const TorchFile file(path);
          for (const auto& [name, tensor] : file.tensors()) {
            if (is_floating(tensor.dtype)) tensor.to_f32();
          }
        });
      }
    }
  }
}

}  // namespace qe
