#!/bin/sh
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
#
# Downloads and unpacks the Debian packages whose texts examples/tiny-mlm was trained on, and turns
# them into sentences (tiny_corpus.py says by which rules).
#
#   build_tiny_corpus.sh WORK_DIR            every package of examples/tiny-mlm/SOURCES.tsv
#   build_tiny_corpus.sh WORK_DIR PACKAGE... only these of them ("debian-package-descriptions" too)
#
# Needs Debian (or apt set to its bookworm), python3, and for everything about 5 GB of disk.
# apt's lists and downloads are kept under WORK_DIR; nothing is installed, root is not needed.
# WORK_DIR/corpus/{general,debian,tech}.{train,valid}.txt is what pretrain_tiny.py reads.
set -eu

work=$(mkdir -p "$1" && cd "$1" && pwd)
shift
scripts=$(cd "$(dirname "$0")" && pwd)
examples=$scripts/../examples
sources=$examples/tiny-mlm/SOURCES.tsv
texts=$work/texts

mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/deb" "$texts"
apt_get() {
  apt-get -q -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
    -o Acquire::Languages=en -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
}
apt_get update

# A package's unpacked files: $texts/GROUP/PACKAGE.
fetch() {
  [ -d "$texts/$1/$2" ] && return 0
  (cd "$work/deb" && apt_get download "$2") || { echo "not in this archive: $2" >&2; return 0; }
  mkdir -p "$texts/$1"
  dpkg-deb -x "$work"/deb/"$2"_*.deb "$texts/$1/$2.part"
  mv "$texts/$1/$2.part" "$texts/$1/$2"
  rm "$work"/deb/"$2"_*.deb
}

# The English long descriptions of all packages, which apt has among its lists.
fetch_descriptions() {
  mkdir -p "$texts/debian/$1"
  apt_get indextargets --format '$(FILENAME)' 'Created-By: Translations' |
    xargs /usr/lib/apt/apt-helper cat-file > "$texts/debian/$1/Translation-en"
}

tail -n +2 "$sources" | cut -f 1,3 | while read -r package group; do
  if [ $# -gt 0 ]; then
    case " $* " in *" $package "*) ;; *) continue ;; esac
  fi
  case $group in
    debian) fetch_descriptions "$package" ;;
    *) fetch "$group" "$package" ;;
  esac
done

python3 "$scripts/tiny_corpus.py" "$texts" "$work/corpus" \
  --exclude "$examples/kjv/train.txt" "$examples/kjv/valid.txt"
