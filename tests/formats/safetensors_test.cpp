// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

/// A file of the given header text and data bytes, with the header's true length.
std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

/// The message for a file of these bytes, without the file's path.
std::string read_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.safetensors", bytes);
  const std::string message = error_of([&] { SafetensorsFile file(path); });
  if (message.empty()) return "";
  REQUIRE(message.starts_with(path + ": "));
  CHECK(message.find('\n') == std::string::npos);
  return message.substr(path.size() + 2);
}

std::string header_error(const std::string& header, const std::string& data) {
  return read_error(file_of(header, data));
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

TEST_CASE("what is written reads back, in the reference library's bytes") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/t.safetensors";
  const std::vector<float> floats = {1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, 7.0f};
  const std::vector<uint8_t> codes = {1, 2, 3};
  const std::vector<int64_t> scalar = {-5};
  write_safetensors(path, {{"z.codes", DType::kU8, {3, 1}, codes.data()},
                           {"b", DType::kF32, {2, 3}, floats.data()},
                           {"a", DType::kF32, {0, 4}, nullptr},
                           {"scalar", DType::kI64, {}, scalar.data()}});
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("scalar":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]},)"
                             R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},)"
                             R"("z.codes":{"dtype":"U8","shape":[3,1],"data_offsets":[32,35]}})";
  const std::string content = content_of(path);
  uint64_t length = 0;
  std::memcpy(&length, content.data(), 8);
  CHECK((8 + length) % 8 == 0);
  CHECK(content.substr(8, header.size()) == header);
  CHECK(content.substr(8 + header.size(), length - header.size()).find_first_not_of(' ') ==
        std::string::npos);
  CHECK(content.size() == 8 + length + 35);

  const SafetensorsFile file(path);
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  REQUIRE(file.tensors().size() == 4);
  const StoredTensor& b = file.tensors().at("b");
  CHECK(b.dtype == DType::kF32);
  CHECK(b.shape == std::vector<int64_t>{2, 3});
  CHECK(b.n_elements() == 6);
  CHECK(b.to_f32() == floats);
  CHECK(*b.file == path);
  CHECK(file.tensors().at("a").n_elements() == 0);
  CHECK(file.tensors().at("a").to_f32().empty());
  CHECK(file.tensors().at("scalar").n_elements() == 1);
  const auto stored = file.tensors().at("z.codes").bytes;
  CHECK(std::vector<std::byte>(stored.begin(), stored.end()) == bytes_of(codes));
  CHECK(error_of([&] { file.tensors().at("z.codes").to_f32(); }) ==
        path + ": tensor \"z.codes\": expected a floating type, got U8");
}

TEST_CASE("a file without tensors, and odd names") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/t.safetensors";
  write_safetensors(path, {});
  CHECK(SafetensorsFile(path).tensors().empty());
  const float x = 2.0f;
  const std::string odd = "\"\\\n\xC3\xA9";
  write_safetensors(path, {{odd, DType::kF32, {1}, &x}, {"", DType::kF32, {1, 1}, &x}});
  CHECK(SafetensorsFile(path).tensors().at(odd).to_f32() == std::vector<float>{2.0f});
  CHECK(SafetensorsFile(path).tensors().count("") == 1);
}

TEST_CASE("16-bit and 64-bit floats convert, also when misaligned") {
  const TemporaryFolder folder;
  // 65 bytes of header put every element at an odd address.
  const std::string data("\x00\x3C\x80\xBF\x00\x00\x00\x00\x00\x00\xF8\x3F", 12);
  std::string header = R"({"h":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},)"
                       R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[2,4]},)"
                       R"("d":{"dtype":"F64","shape":[1],"data_offsets":[4,12]}})";
  if (header.size() % 2 == 0) header += ' ';
  const SafetensorsFile file(folder.write("t", file_of(header, data)));
  CHECK(file.tensors().at("h").to_f32() == std::vector<float>{1.0f});
  CHECK(file.tensors().at("b").to_f32() == std::vector<float>{-1.0f});
  CHECK(file.tensors().at("d").to_f32() == std::vector<float>{1.5f});
}

TEST_CASE("hostile lengths are errors that say what was found") {
  CHECK(read_error("") == "0 bytes are too few for a safetensors file (8 bytes of header length)");
  CHECK(read_error("1234567").starts_with("7 bytes are too few"));
  CHECK(read_error(std::string(8, '\xFF')) ==
        "header length 18446744073709551615 is above the limit of 100000000; "
        "not a safetensors file?");
  CHECK(read_error(std::string("\x01\xE1\xF5\x05\0\0\0\0", 8))
            .starts_with("header length 100000001 is above the limit"));
  CHECK(read_error(std::string("\x00\xE1\xF5\x05\0\0\0\0", 8) + "{}") ==
        "header length 100000000, but only 2 bytes follow; truncated file?");
  CHECK(read_error(std::string(8, '\0')) == "the header does not start with '{'");
  CHECK(header_error(" {}", "") == "the header does not start with '{'");
  CHECK(header_error("[]", "") == "the header does not start with '{'");
}

TEST_CASE("hostile headers are errors that name the place") {
  const auto one = [](const std::string& entry) { return "{\"w\": " + entry + "}"; };
  const std::string data(8, 'x');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"w\"", "header: column 5: "},
      {"{} {}", "header: column 4: "},
      {"{\"\xFF\": 1}", "header: column 3: invalid UTF-8"},
      {one("1"), "header: /w: expected an object, got 1"},
      {one("{}"), "header: /w: missing key \"dtype\""},
      {one(R"({"dtype":"F32"})"), "header: /w: missing key \"shape\""},
      {one(R"({"dtype":"F32","shape":[2]})"), "header: /w: missing key \"data_offsets\""},
      {one(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})"),
       "header: /w/dtype: expected a string, got 7"},
      {one(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"),
       "header: /w: unsupported tensor dtype \"F8_E4M3\""},
      {one(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"),
       "header: /w/shape: expected an array, got 2"},
      {one(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})"),
       "header: /w/shape/0: expected an integer, got \"2\""},
      {one(R"({"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]})"),
       "header: /w/shape/0: negative dimension -1"},
      {one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
       "header: /w: shape [4294967296, 4294967296] overflows"},
      {one(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]})"),
       "header: /w: shape [4611686018427387904] overflows"},
      {one(R"({"dtype":"F32","shape":[18446744073709551618],"data_offsets":[0,8]})"),
       "header: /w/shape/0: expected a 64-bit integer"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
       "header: /w: F32 [3] takes 12 bytes, data_offsets give 8"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"),
       "header: /w/data_offsets: begin 8, end 0 is no range"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"),
       "header: /w/data_offsets: begin -8, end 0 is no range"},
      {one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
       "header: /w/data_offsets: end 12 is beyond the 8 bytes of data; truncated file?"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]})"),
       "header: /w/data_offsets: end 9223372036854775807 is beyond the 8 bytes"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"),
       "header: /w/data_offsets: expected [begin, end], got 1 values"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"),
       "the last 4 bytes of the data belong to no tensor"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"),
       "bytes 0 to 4 of the data belong to no tensor (before \"w\")"},
      {R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},)"
       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       "tensor \"b\" at byte 4 of the data overlaps the one before, which ends at 6"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
       "tensor \"b\" at byte 0 of the data overlaps"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
       "tensor \"b\" at byte 4 of the data overlaps"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
       R"("a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
       "header: duplicate key \"a\""},
      {R"({"__metadata__":{"format":1},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
       "header: /__metadata__/format: expected a string, got 1"},
      {R"({"__metadata__":[],"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
       "header: /__metadata__: expected an object, got []"},
      {"{}", "the last 8 bytes of the data belong to no tensor"},
  };
  for (const auto& [header, message] : cases) {
    CAPTURE(header);
    CHECK(header_error(header, data).substr(0, message.size()) == message);
  }
}

TEST_CASE("zero-size tensors and trailing spaces are allowed") {
  CHECK(header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                     R"("e":{"dtype":"F32","shape":[0,9],"data_offsets":[4,4]},)"
                     R"("f":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
                     R"("g":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},)"
                     R"("b":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]}}      )",
                     "12345678") == "");
  CHECK(header_error(R"({"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "") == "");
}

TEST_CASE("write_safetensors refuses impossible tensors and leaves no file") {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/t.safetensors";
  const float x = 0;
  const auto error = [&](std::vector<TensorToWrite> tensors) {
    const std::string message = error_of([&] { write_safetensors(path, std::move(tensors)); });
    CHECK_FALSE(std::filesystem::exists(path));
    return message.empty() ? "" : message.substr(path.size() + 2);
  };
  CHECK(error({{"w", DType::kF32, {1}, &x}, {"w", DType::kF32, {1}, &x}}) ==
        "tensor name \"w\" is reserved or given twice");
  CHECK(error({{"__metadata__", DType::kF32, {1}, &x}}).find("reserved") != std::string::npos);
  CHECK(error({{"w", DType::kF32, {-1}, &x}}) == "tensor \"w\": impossible shape [-1]");
  CHECK(error({{"w", DType::kF32, {int64_t{1} << 62, 2}, &x}}).find("impossible shape") !=
        std::string::npos);
  CHECK(error({{"w", DType::kF32, {1}, nullptr}}) == "tensor \"w\" has no data");
}

TEST_CASE("mutated files are read or refused with a message, never more") {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})";
  const std::string seed = file_of(header, std::string(19, '\x3F'));
  const TemporaryFolder folder;
  std::mt19937 random(11);
  int n_read = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string bytes = seed;
    const unsigned n_edits = 1 + random() % 3;
    for (unsigned k = 0; k < n_edits && !bytes.empty(); ++k) {
      const size_t at = random() % (random() % 2 ? bytes.size() : 140);
      switch (random() % 5) {
        case 0:
          bytes.erase(at % bytes.size(), 1 + random() % 4);
          break;
        case 1:
          bytes[at % bytes.size()] = static_cast<char>(random());
          break;
        case 2:
          bytes[at % bytes.size()] = static_cast<char>('0' + random() % 10);
          break;
        case 3:
          bytes.insert(at % bytes.size(), 1, static_cast<char>(random()));
          break;
        default:
          bytes.resize(random() % (bytes.size() + 1));
      }
    }
    const std::string path = folder.write("t", bytes);
    const std::string error = error_of([&] {
      const SafetensorsFile file(path);
      for (const auto& [name, tensor] : file.tensors()) {
        if (is_floating(tensor.dtype)) CHECK(tensor.to_f32().size() <= 16);
      }
      ++n_read;
    });
    if (!error.empty()) CHECK(error.starts_with(path + ": "));
    CHECK(error.find('\n') == std::string::npos);
  }
  CHECK(n_read > 50);
  CHECK(n_read < 3500);
}

TEST_CASE("the example model's weights read") {
  const SafetensorsFile file(QE_SOURCE_DIR "/examples/tiny-mlm/model.safetensors");
  const StoredTensor& word = file.tensors().at("bert.embeddings.word_embeddings.weight");
  CHECK(word.shape == std::vector<int64_t>{8192, 256});
  CHECK(word.dtype == DType::kF16);
  CHECK(word.bytes.size() == 8192u * 256u * 2u);
}

}  // namespace
}  // namespace qe
