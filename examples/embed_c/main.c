// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
//
// The library from C: the best words for the masks of a text, and how probable the rest of it is.
//   cc main.c $(pkg-config --cflags --libs qlora_engine) -o embed_c
//   ./embed_c MODEL "The capital of France is [MASK]."
#include <qlora_engine.h>
#include <stdio.h>

#define TOP_K 5
#define MAX_ANSWERS 64

static int report(const char* what, const qe_error* error) {
  fprintf(stderr, "%s: %s\n", what, error->message);
  return 1;
}

static void print_log(void* user, int level, const char* line) {
  (void)user;
  if (level > 0) fprintf(stderr, "warning: %s\n", line);
}

int main(int argc, char** argv) {
  qe_error error;
  qe_model* model = NULL;
  qe_open_options options;
  qe_text text;
  qe_answer answers[MAX_ANSWERS];
  size_t n_answers = 0, i;
  qe_text_score score;
  if (argc != 3) {
    fprintf(stderr, "usage: embed_c MODEL TEXT\n");
    return 2;
  }
  qe_open_options_init(&options);
  options.log = print_log;
  if (qe_open(argv[1], &options, &model, &error) != QE_OK) return report("open", &error);

  text.bytes = argv[2];
  text.n_bytes = SIZE_MAX;
  if (qe_fill_mask(model, &text, 1, TOP_K, NULL, 0, NULL, answers, MAX_ANSWERS, &n_answers,
                   &error) != QE_OK) {
    qe_close(&model);
    return report("fill-mask", &error);
  }
  for (i = 0; i < n_answers; ++i) {
    char word[128];
    size_t n_bytes = 0;
    if (qe_detokenize(model, &answers[i].token, 1, 0, word, sizeof word, &n_bytes, &error) !=
        QE_OK) {
      qe_close(&model);
      return report("detokenize", &error);
    }
    printf("%d %.4f %s\n", answers[i].position, answers[i].probability, word);
  }

  if (qe_score(model, &text, 1, NULL, &score, &error) != QE_OK) {
    qe_close(&model);
    return report("score", &error);
  }
  printf("log probability %.3f over %lld tokens\n", score.log_probability,
         (long long)score.n_tokens);
  qe_close(&model);
  return 0;
}
