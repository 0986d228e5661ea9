// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/model_card.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace fs = std::filesystem;

using qe::content_of, qe::write_model_card;

TEST_CASE("model_card: ours is replaced, anybody else's and an edited one stays") {
  const qe::TemporaryFolder folder;
  const std::string path = folder.path() + "/README.md";
  REQUIRE(write_model_card(folder.path(), "# One\n"));
  CHECK(content_of(path).starts_with("# One\n\n<!-- qlora-engine: "));
  REQUIRE(write_model_card(folder.path(), "# Two\n"));
  const std::string two = content_of(path);
  CHECK(two.starts_with("# Two\n"));

  for (const std::string& theirs : {std::string(), std::string("# Mine\n"), "# Mine\n" + two,
                                    two + "A line.\n", std::string(two).replace(2, 3, "2nd"),
                                    two.substr(0, two.size() - 1), two.substr(two.find("<!--"))}) {
    CAPTURE(theirs);
    folder.write("README.md", theirs);
    CHECK_FALSE(write_model_card(folder.path(), "# Three\n"));
    CHECK(content_of(path) == theirs);
  }
  fs::remove(path);
  fs::create_symlink("nowhere", path);  // somebody's plan
  CHECK_FALSE(write_model_card(folder.path(), "# Three\n"));
  CHECK(fs::is_symlink(fs::symlink_status(path)));
  fs::remove(path);
  fs::create_directory(path);
  CHECK_FALSE(write_model_card(folder.path(), "# Three\n"));
}

TEST_CASE("model_card: values stay inside their code marks, on one line") {
  CHECK(qe::card_code("a`b\nc|d") == "`\"a\\u0060b\\nc|d\"`");
  CHECK(qe::card_code(qe::Json::object({{"k", 1.5}})) == "`{\"k\": 1.5}`");
}
