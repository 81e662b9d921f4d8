#!/usr/bin/env python3
"""PyTorch on the rows of `ragged.rs`: loss and gradients of an LSTM layer on one thread, over a packed sequence, over rows
padded to the longest, and over a full batch of as many live steps. One JSON line a measurement.

Usage: packed_sequence.py [H,H,...] [--rounds N] [--secs S]; needs torch.
"""
import argparse, json, os, time

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
import torch

ap = argparse.ArgumentParser()
ap.add_argument("units", nargs="?", default="32,128,512")
ap.add_argument("--rounds", type=int, default=5)
ap.add_argument("--secs", type=float, default=0.4)
a = ap.parse_args()
torch.set_num_threads(1)

lengths = torch.tensor([10 + (k * 11 % 32) * 190 // 31 for k in range(32)])
live = int(lengths.sum())

for H in map(int, a.units.split(",")):
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(H, H)
    T, B = int(lengths.max()), len(lengths)
    x = torch.randn(T, B, H)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    gy = torch.randn_like(packed.data)
    gy_padded = torch.randn(T, B, H)
    full = torch.randn(live // B, B, H)
    gy_full = torch.randn_like(full)

    def ragged():
        # What a caller has is padded.
        given = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        lstm.zero_grad()
        (lstm(given)[0].data * gy).sum().backward()

    def padded():
        lstm.zero_grad()
        (lstm(x)[0] * gy_padded).sum().backward()

    def whole():
        lstm.zero_grad()
        (lstm(full)[0] * gy_full).sum().backward()

    kinds = dict(full=whole, ragged=ragged, padded=padded)
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(a.rounds):
        for name, f in kinds.items():
            f()
            end = time.perf_counter() + a.secs
            while time.perf_counter() < end:
                t = time.perf_counter()
                f()
                best[name] = min(best[name], time.perf_counter() - t)
    for name, s in best.items():
        print(json.dumps(dict(impl="torch", cell="lstm", units=H, batch=name, live=live, min_ms=1e3 * s, us_per_live_step=1e6 * s / live)), flush=True)
