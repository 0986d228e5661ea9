// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// JSON text: what is read is written back to the same.

#include "formats/json.h"
#include "tests/fuzz/support.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace qe;
  fuzz::Input input(data, size);
  Json json;
  if (!fuzz::succeeds([&] { json = Json::parse(input.rest(), "input.json"); })) return 0;
  const std::string text = json.dump();
  std::string again;
  fuzz::require(fuzz::succeeds([&] { again = Json::parse(text, "written").dump(); }),
                "what was written cannot be read");
  fuzz::require(again == text, "what was written reads differently");
  fuzz::require(Json::parse(json.dump(2, true), "sorted").kind() == json.kind(), "another kind");
  return 0;
}
