// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

/* Masked language models inside a program of your own: fill masks, score and embed texts, with LoRA
 * adapters chosen per request. C99.
 *
 * Threads. Any number of threads may call any function over one model at once, except that nobody
 * may use it any more when qe_close is called. Requests of all threads are packed together, without
 * padding, into forward passes that one thread of the library runs. Tokenization runs on the
 * caller's thread.
 *
 * Memory. The caller owns all that it passes in, and every buffer that is written to. Texts and
 * options are copied before a function returns; buffers of results belong to the request until it
 * has ended (blocking functions: until they return; submitted ones: until their callback runs).
 *
 * Errors. No function throws, prints, exits or touches a signal. All that can fail return a
 * qe_status, and write a line to *error when it is not null. After an error the model is as usable
 * as before; buffers of results may have been written in part.
 *
 * Versions. Structures that may grow begin with struct_size; their *_init function sets it and the
 * defaults. Functions and members are only added while QE_ABI_VERSION stays. */

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define QE_EXPORT
#else
#define QE_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Of the interface that this header describes; the library's SONAME has the same number. */
#define QE_ABI_VERSION 0

typedef enum qe_status {
  QE_OK = 0,
  QE_INVALID_ARGUMENT = 1, /**< a null pointer, a size or an option out of range */
  QE_INVALID_TEXT = 2,     /**< no mask, too many tokens, a target without tokens ... */
  QE_BAD_FILE = 3,         /**< a folder is missing, broken, or (adapter) of another base */
  QE_UNKNOWN_ADAPTER = 4,  /**< never attached, or detached */
  QE_BUFFER_TOO_SMALL = 5, /**< the sizes that are needed were written */
  QE_OVERLOADED = 6,       /**< the queue is full: try again later, or elsewhere */
  QE_DEADLINE_EXCEEDED = 7,
  QE_CANCELLED = 8, /**< by qe_cancel, or the model was closed */
  QE_OUT_OF_MEMORY = 9,
  QE_NO_DEVICE = 10, /**< the device asked for is not there or cannot compute so */
  QE_INTERNAL = 11   /**< a defect of the library, or of the device */
} qe_status;

/** "QE_OK" ...; static. */
QE_EXPORT const char* qe_status_name(qe_status status);

/** One line, cut to fit, always terminated. */
typedef struct qe_error {
  char message[1024];
} qe_error;

/** "0.1.0"; static. */
QE_EXPORT const char* qe_version(void);
/** QE_ABI_VERSION of the library that runs. */
QE_EXPORT int qe_abi_version(void);

typedef struct qe_model qe_model;

/** Called from any thread, never from two at once. level: 0 information, 1 warning. line: valid
 * during the call. It must not call this library. */
typedef void (*qe_log)(void* user, int level, const char* line);

typedef struct qe_open_options {
  size_t struct_size;
  const char* device;        /**< "auto" (null), "cpu", "cuda" or "cuda:N" */
  const char* compute_dtype; /**< "auto" (null), "fp32", "bf16" or "fp16": of a GPU */
  int32_t bits;              /**< 4, or 16 / 32: how the base's weights are held (4) */
  const char* quant_type;    /**< "nf4" (null) or "fp4"; folders in 4 bits keep their own */
  int32_t double_quant;      /**< quantize the block scales too (1) */
  int32_t threads;           /**< CPU threads; 0: all (0) */
  double max_memory_MB;      /**< of the device, in 10^6 bytes; 0: on a GPU what is free (0) */
  /** Tokens that share a forward pass beside a longest text; more of them take more memory (1024).
   * 0: texts run one by one. */
  int64_t batch_tokens;
  /** How long a request may wait for others to share its forward pass, in microseconds, when the
   * device is idle; 0: not at all (0). */
  int64_t batch_delay_us;
  /** Tokens of waiting requests; beyond them new ones are refused: QE_OVERLOADED (65536). */
  int64_t queue_tokens;
  /** Largest rank of adapters that may be attached; 0: none may (64). */
  int64_t max_adapter_rank;
  /** A cudaStream_t of the device's that all work is ordered by, or null: one of the library's. */
  void* cuda_stream;
  qe_log log; /**< null: nothing is logged */
  void* log_user;
} qe_open_options;

QE_EXPORT void qe_open_options_init(qe_open_options* options);

/** Opens a Hugging Face model folder: full weights, quantized while they are loaded, or saved in 4
 * bits. Takes all memory that requests will need. options may be null: the defaults. *model is for
 * qe_close. */
QE_EXPORT qe_status qe_open(const char* folder, const qe_open_options* options, qe_model** model,
                            qe_error* error);
/** Ends the request that runs, cancels those that wait (their callbacks run before this returns),
 * frees everything and sets *model to null. A null model or *model is no error. Not to be called
 * from a callback. */
QE_EXPORT void qe_close(qe_model** model);

typedef struct qe_info {
  size_t struct_size;
  int64_t vocab_size;
  int64_t hidden_size;     /**< columns of an embedding */
  int64_t max_tokens;      /**< of a text, special tokens included */
  int32_t mask_id;         /**< -1: the tokenizer has no mask token */
  int32_t has_head;        /**< 0: it can embed only */
  const char* mask_token;  /**< "[MASK]", "<mask>" ...; lives as long as the model */
  const char* device_name; /**< likewise */
  int64_t device_bytes;    /**< taken of the device's memory, adapters included */
} qe_info;

/** info->struct_size = sizeof(qe_info) before the call. */
QE_EXPORT qe_status qe_get_info(qe_model* model, qe_info* info, qe_error* error);

/** Adapters have numbers above 0 that are never given twice. */
#define QE_BASE 0

/** Reads a PEFT LoRA folder, while requests go on. */
QE_EXPORT qe_status qe_attach(qe_model* model, const char* folder, int64_t* adapter,
                              qe_error* error);
/** Requests that were accepted before are still answered with it. */
QE_EXPORT qe_status qe_detach(qe_model* model, int64_t adapter, qe_error* error);

/** Bytes of UTF-8; what is not valid counts as U+FFFD. n_bytes SIZE_MAX: up to a 0. */
typedef struct qe_text {
  const char* bytes;
  size_t n_bytes;
} qe_text;

typedef struct qe_request_options {
  size_t struct_size;
  int64_t adapter;    /**< from qe_attach, or QE_BASE (QE_BASE) */
  int64_t timeout_us; /**< microseconds after which it need not begin any more; 0: none (0) */
  int32_t truncate;   /**< leave out what is too long for the model, instead of an error (0) */
} qe_request_options;

QE_EXPORT void qe_request_options_init(qe_request_options* options);

/** The ids of a text, special tokens included, into ids[capacity]; *n_ids is their number. More
 * than capacity: QE_BUFFER_TOO_SMALL. Runs on the caller's thread. */
QE_EXPORT qe_status qe_tokenize(qe_model* model, qe_text text, int32_t* ids, size_t capacity,
                                size_t* n_ids, qe_error* error);
/** The text of ids, terminated, into text[capacity]; *n_bytes is its length without the 0. */
QE_EXPORT qe_status qe_detokenize(qe_model* model, const int32_t* ids, size_t n_ids,
                                  int32_t skip_special_tokens, char* text, size_t capacity,
                                  size_t* n_bytes, qe_error* error);

/** A word for a mask. */
typedef struct qe_answer {
  int32_t text;      /**< index among the texts */
  int32_t position;  /**< of the mask among the text's tokens */
  int32_t token;     /**< id */
  float probability; /**< softmax over the whole vocabulary */
} qe_answer;

/** Called once when a submitted request has ended, from a thread of the library: it must return
 * soon, and may submit and cancel requests but call no blocking function. status is not QE_OK:
 * message says why; it is valid during the call. */
typedef void (*qe_callback)(void* user, qe_status status, const char* message);

/** The top_k most probable tokens of every mask of every text, as Hugging Face's fill-mask pipeline
 * has them: each mask on its own, the others in place. Answers are sorted by text, position, then
 * by falling probability (equal ones by id). targets: only these ids (not renormalized); n_targets
 * 0: all. *n_answers: their number, at most capacity; texts have top_k each per mask (fewer where
 * there are fewer targets). A text without a mask is an error. options may be null. */
QE_EXPORT qe_status qe_fill_mask(qe_model* model, const qe_text* texts, size_t n_texts,
                                 int32_t top_k, const int32_t* targets, size_t n_targets,
                                 const qe_request_options* options, qe_answer* answers,
                                 size_t capacity, size_t* n_answers, qe_error* error);
/** The same without waiting. *request is for qe_cancel; it may be null. An error here means that
 * the callback will not run. */
QE_EXPORT qe_status qe_submit_fill_mask(qe_model* model, const qe_text* texts, size_t n_texts,
                                        int32_t top_k, const int32_t* targets, size_t n_targets,
                                        const qe_request_options* options, qe_answer* answers,
                                        size_t capacity, size_t* n_answers, qe_callback callback,
                                        void* user, uint64_t* request, qe_error* error);

typedef struct qe_text_score {
  double log_probability; /**< sum over the tokens of log p(token | all others), natural */
  int64_t n_tokens;       /**< scored ones: all but special tokens and masks */
} qe_text_score;

/** Pseudo-log-likelihoods (Salazar et al. 2020, arXiv:1910.14659), one per text. */
QE_EXPORT qe_status qe_score(qe_model* model, const qe_text* texts, size_t n_texts,
                             const qe_request_options* options, qe_text_score* scores,
                             qe_error* error);
QE_EXPORT qe_status qe_submit_score(qe_model* model, const qe_text* texts, size_t n_texts,
                                    const qe_request_options* options, qe_text_score* scores,
                                    qe_callback callback, void* user, uint64_t* request,
                                    qe_error* error);

typedef enum qe_pooling {
  QE_POOL_MEAN = 0, /**< of all rows, special tokens included */
  QE_POOL_CLS = 1   /**< the first token's row */
} qe_pooling;

/** The pooled last hidden states, embeddings[n_texts][hidden_size]; normalize: to length 1. */
QE_EXPORT qe_status qe_embed(qe_model* model, const qe_text* texts, size_t n_texts,
                             qe_pooling pooling, int32_t normalize,
                             const qe_request_options* options, float* embeddings, qe_error* error);
QE_EXPORT qe_status qe_submit_embed(qe_model* model, const qe_text* texts, size_t n_texts,
                                    qe_pooling pooling, int32_t normalize,
                                    const qe_request_options* options, float* embeddings,
                                    qe_callback callback, void* user, uint64_t* request,
                                    qe_error* error);

/** Takes a waiting request back: its callback runs with QE_CANCELLED before this returns. One that
 * runs already, or has ended, is left alone. Returns 1 when it was taken back, else 0. */
QE_EXPORT int qe_cancel(qe_model* model, uint64_t request);

#ifdef __cplusplus
}
#endif
