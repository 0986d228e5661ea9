// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Families by their model_type.

#include "formats/encoder_config.h"
#include "kernels/core/error.h"

namespace qe {
namespace model_families {
#define QE_FAMILY(family, file) Family family();
#include "formats/families/families.def"
#undef QE_FAMILY
}  // namespace model_families

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
#define QE_FAMILY(family, file) model_families::family(),
#include "formats/families/families.def"
#undef QE_FAMILY
  };
  return all;
}

const Family& family_of(const std::string& model_type) {
  std::string known;
  for (const Family& family : families()) {
    if (model_type == family.model_type) return family;
    known += cat(known.empty() ? "" : ", ", family.model_type);
  }
  fail("model_type ", Json(model_type).dump(), " is not supported; supported: ", known);
}

}  // namespace qe
