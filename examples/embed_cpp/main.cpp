// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
//
// The library from C++: how near each text is to the first one, asked from several threads at once.
#include <cstdio>
#include <qlora_engine.hpp>
#include <thread>

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: embed_cpp MODEL TEXT TEXT ...\n");
    return 2;
  }
  qlora_engine::Model model(argv[1]);
  const std::vector<std::string> texts(argv + 2, argv + argc);
  std::vector<std::vector<float>> rows(texts.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] { rows[i] = model.embed({texts[i]}, QE_POOL_MEAN, true); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 1; i < texts.size(); ++i) {
    double similarity = 0.0;
    for (size_t c = 0; c < rows[i].size(); ++c) similarity += rows[0][c] * rows[i][c];
    std::printf("%.4f %s\n", similarity, texts[i].c_str());
  }
  return 0;
} catch (const qlora_engine::Error& error) {
  std::fprintf(stderr, "%s: %s\n", qe_status_name(error.status()), error.what());
  return 1;
}
