#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: 2026 The qlora-engine authors
"""Training and fill-mask speed on the CPU beside PyTorch with transformers and peft.

Both sides run the same shape with random weights: their base in fp32, ours in NF4 with double
quantization; LoRA of rank r on every linear layer; dropout as the model ships; no checkpointing;
full rows without padding, 15 % of them labelled; a whole training step, optimizer included. Rounds
alternate in one run: theirs in one process that sleeps in between, ours in a new process each
round. Peak memory is each process's own resident high-water mark (VmHWM): of theirs after its
training rounds, for inference of a second process that only ever infers.

Other load on the machine hurts both sides, and not equally. The share of the cores that other
processes took is printed with every round; a round in which they took more than --max_other_load is
run again, up to ten times as many rounds in all.

  scripts/bench_cpu_torch.py [--program build/qlora-engine] [--threads 2] [--rounds 7]

Prints one line per round, then medians and the ratios' spread; --json FILE keeps all numbers.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

# As BertConfig says them.
SHAPES = {
    "bert-base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
                      intermediate_size=3072, vocab_size=30522),
    "bert-large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                       intermediate_size=4096, vocab_size=30522),
}
LABEL_SHARE = 0.15


def peak_bytes():
    """Resident high-water mark of this process."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class OtherLoad:
    """The share of all cores that processes other than ours took since it was made."""

    def __init__(self, own_seconds):
        self.own_seconds = own_seconds
        self.start = time.monotonic(), self.busy_seconds(), own_seconds()

    @staticmethod
    def busy_seconds():
        with open("/proc/stat") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        idle = ticks[3] + ticks[4]
        return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")

    def share(self):
        start, busy, own = self.start
        others = (self.busy_seconds() - busy) - (self.own_seconds() - own)
        return max(0.0, others / ((time.monotonic() - start) * os.cpu_count()))


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class TorchSide:
    """Runs in the worker process."""

    def __init__(self, args, training):
        import torch
        import transformers
        from peft import LoraConfig, get_peft_model

        self.torch = torch
        torch.set_num_threads(args.threads)
        torch.manual_seed(0)
        config = transformers.BertConfig(**SHAPES[args.shape])
        self.model = transformers.BertForMaskedLM(config)
        generator = torch.Generator().manual_seed(1)
        if not training:
            self.model.eval()
            self.ids = torch.randint(1000, config.vocab_size, (1, args.infer_length),
                                     generator=generator)
            self.mask_at = args.infer_length // 2
            return
        targets = ["query", "key", "value", "dense"]  # every linear layer but the decoder
        self.model = get_peft_model(
            self.model, LoraConfig(r=args.lora_r, lora_alpha=16, lora_dropout=0.0, bias="none",
                                   target_modules=targets))
        self.model.train()
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.trainable = trainable
        self.optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)
        shape = (args.sequences, args.length)
        self.ids = torch.randint(1000, config.vocab_size, shape, generator=generator)
        labels = torch.full(shape, -100)
        chosen = torch.randperm(labels.numel(), generator=generator)
        chosen = chosen[:round(LABEL_SHARE * labels.numel())]
        labels.view(-1)[chosen] = self.ids.view(-1)[chosen]
        self.labels = labels

    def train_step(self):
        torch = self.torch
        loss = self.model(input_ids=self.ids, labels=self.labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainable, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()

    def infer_step(self):
        torch = self.torch
        with torch.inference_mode():
            logits = self.model(input_ids=self.ids).logits[0, self.mask_at]
            logits.softmax(-1).topk(5)

    def serve(self):
        """Each line of standard input, `train N` or `infer N`, is answered by one JSON line."""
        for line in sys.stdin:
            task, steps = line.split()
            step = self.train_step if task == "train" else self.infer_step
            seconds = []
            for _ in range(int(steps)):
                start = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - start)
            print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}), flush=True)


class TorchProcess:
    def __init__(self, args, task):
        command = [sys.executable, os.path.abspath(__file__), "--worker", task,
                   "--shape", args.shape, "--threads", str(args.threads),
                   "--sequences", str(args.sequences), "--length", str(args.length),
                   "--lora_r", str(args.lora_r), "--infer_length", str(args.infer_length)]
        env = dict(os.environ, OMP_NUM_THREADS=str(args.threads),
                   MKL_NUM_THREADS=str(args.threads))
        self.task = task
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=env)
        self.peak = 0

    def run(self, steps):
        """Seconds of each step."""
        self.process.stdin.write(f"{self.task} {steps}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.peak = answer["peak_bytes"]
        return answer["seconds"]

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_ours(args, task, steps, warmup):
    sequences, length = (args.sequences, args.length) if task == "train" else (1, args.infer_length)
    command = [args.program, "bench", task, "--shape", args.shape, "--sequences", str(sequences),
               "--length", str(length), "--lora_r", str(args.lora_r), "--threads",
               str(args.threads), "--steps", str(steps), "--warmup", str(warmup), "--json"]
    if task == "infer":
        command[command.index("--lora_r") + 1] = "0"
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(args, task, steps, warmup):
    """Alternating rounds of one task; all numbers of it."""
    theirs = TorchProcess(args, task)
    theirs.run(warmup)
    rounds = []
    n_tried = 0
    while len(rounds) < args.rounds and n_tried < 10 * args.rounds:
        n_tried += 1
        load = OtherLoad(theirs.cpu_seconds)
        their_seconds = statistics.median(theirs.run(steps))
        their_load = load.share()
        load = OtherLoad(children_seconds)
        ours = run_ours(args, task, steps, warmup)
        our_load = load.share()
        our_seconds = ours["seconds"]["median"]
        kept = max(their_load, our_load) <= args.max_other_load
        print(f"{task}: PyTorch {their_seconds * 1e3:.1f} ms (others took {their_load:.0%}), "
              f"qlora-engine {our_seconds * 1e3:.1f} ms ({our_load:.0%}), "
              f"{their_seconds / our_seconds:.2f}x{'' if kept else ', not counted'}", flush=True)
        if kept:
            rounds.append({"theirs": their_seconds, "ours": our_seconds,
                           "their_other_load": their_load, "our_other_load": our_load,
                           "our_peak_bytes": ours["memory"]["peak_resident"]})
    their_peak = theirs.peak
    theirs.close()
    return {"rounds": rounds, "rounds_tried": n_tried, "their_peak_bytes": their_peak, "ours": ours}


def report(args, task, result):
    rounds = result["rounds"]
    if not rounds:
        print(f"\n{task}: no round without other load")
        return
    ratios = [r["theirs"] / r["ours"] for r in rounds]
    theirs = statistics.median(r["theirs"] for r in rounds)
    ours = statistics.median(r["ours"] for r in rounds)
    our_peak = max(r["our_peak_bytes"] for r in rounds)
    mib = 1 << 20
    tokens = args.sequences * args.length if task == "train" else args.infer_length
    print(f"\n{task}: {tokens} tokens a step, medians of {len(rounds)} rounds")
    print(f"  PyTorch       {theirs * 1e3:9.1f} ms  {tokens / theirs:9.0f} tokens/s  "
          f"peak {result['their_peak_bytes'] / mib:7.0f} MiB")
    print(f"  qlora-engine  {ours * 1e3:9.1f} ms  {tokens / ours:9.0f} tokens/s  "
          f"peak {our_peak / mib:7.0f} MiB")
    print(f"  {statistics.median(ratios):.2f}x as fast (rounds {min(ratios):.2f} to "
          f"{max(ratios):.2f}), {our_peak / result['their_peak_bytes']:.2f} of the memory")


def print_machine(args):
    import peft
    import torch
    import transformers

    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if "model name" in line), "")
    print(f"{model or platform.processor()}, {os.cpu_count()} cores, {args.threads} threads each")
    print(f"torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}, "
          f"mkl {torch.backends.mkl.is_available()}, onednn {torch.backends.mkldnn.is_available()}),"
          f" transformers {transformers.__version__}, peft {peft.__version__}, Python "
          f"{platform.python_version()}")
    print(subprocess.run([args.program, "--version"], check=True, capture_output=True,
                         text=True).stdout.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/qlora-engine")
    parser.add_argument("--shape", default="bert-base", choices=sorted(SHAPES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--lora_r", type=int, default=16)
    parser.add_argument("--infer_length", type=int, default=16)
    parser.add_argument("--train_steps", type=int, default=3, help="per round")
    parser.add_argument("--infer_steps", type=int, default=40, help="per round")
    parser.add_argument("--max_other_load", type=float, default=0.05,
                        help="share of all cores that others may take in a counted round")
    parser.add_argument("--tasks", default="train,infer")
    parser.add_argument("--json", help="file for all numbers")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        TorchSide(args, args.worker == "train").serve()
        return
    print_machine(args)
    results = {}
    for task in args.tasks.split(","):
        steps = args.train_steps if task == "train" else args.infer_steps
        results[task] = compare(args, task, steps, warmup=max(1, steps // 4))
    for task, result in results.items():
        report(args, task, result)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
