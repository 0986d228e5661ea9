# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# The front door; CMake does the work. Every target starts from a clean checkout.
#   make          set up, build: build/qlora-engine
#   make test     build and run all tests
#   make cuda     build everything with the CUDA backend (nvcc, no GPU needed)
#   make demo     fine-tune the small example model on this CPU and show what changed
#   make install  program, manual, library, headers into PREFIX (/usr/local)
#   make deb      a Debian package, in build
#   make lint     formatting, layers, headers, shell scripts
#   make format   reformat all sources
#   make asan     all tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make fuzz     hostile input for every parser, FUZZ_SECONDS (60) each, with clang's libFuzzer
#   make clean    remove all that the targets above wrote

BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CMAKE_FLAGS ?=

all: build

setup:
	@scripts/setup.sh build

configure: setup
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING $(CMAKE_FLAGS)

build: configure
	cmake --build $(BUILD) -j $(JOBS) --target qlora-engine

everything: configure
	cmake --build $(BUILD) -j $(JOBS)

test: everything
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

# Tests that need a GPU are skipped, and say so, where there is none.
cuda:
	$(MAKE) everything BUILD=build-cuda CMAKE_FLAGS="-DQE_CUDA=ON $(CMAKE_FLAGS)"

# What is installed, without the tests.
installed: configure
	cmake --build $(BUILD) -j $(JOBS) --target qlora-engine qlora_engine qlora_engine_static

# PREFIX=/usr/local, DESTDIR= for packagers
install: installed
	cmake --install $(BUILD) --prefix $(or $(PREFIX),/usr/local)

deb: installed
	cd $(BUILD) && cpack -G DEB

demo: build
	scripts/demo.sh $(BUILD)/qlora-engine

lint:
	@scripts/setup.sh lint
	@scripts/format.sh --check
	@scripts/check_layers.sh
	@scripts/check_shell.sh

format:
	@scripts/setup.sh lint
	@scripts/format.sh

asan: setup
	$(MAKE) test BUILD=build-asan CMAKE_FLAGS="-DQE_SANITIZE=ON $(CMAKE_FLAGS)"

fuzz: setup
	@scripts/setup.sh fuzz
	@cmake -S . -B build-fuzz -G Ninja --log-level=WARNING -DCMAKE_CXX_COMPILER=clang++-14 \
	  -DQE_FUZZ=ON -DQE_CUDA=OFF $(CMAKE_FLAGS)
	cmake --build build-fuzz -j $(JOBS)
	scripts/fuzz.sh build-fuzz

clean:
	rm -rf build build-asan build-cuda build-fuzz demo

.PHONY: all setup configure build everything test cuda installed install deb demo lint format asan fuzz clean
