"""A small GPT on tiny Shakespeare, and how fast it writes, beside nanoGPT's way and transformers

train: nanoGPT's CPU size (4 blocks, 4 heads, 128 wide, windows of 64, batches of 12), the loss on
the whole last tenth, several seeds, beside a table of counts. decode: characters per CPU second
with the same weights in four programs, logits first. The peer "nanoGPT" is written here from its
description (its generate: the last 64 tokens anew for each token), with the GELU of GPT-2. The
floor for 64 texts: a step is 102 million multiplications and additions (.5 ms at the 200 billion a
second of one core here) and reads 8 MB of keys and values on average (.4 ms at 20 GB/s): 150 times
nanoGPT's 2.1 ms. Steps timed alone take 2.0 to 2.9 ms: 31.9 times at a load of 1 to 4, 27.7 at
one of 17 to 21 (28 November 2026). Forty is not reached. The parts of a step, each repeated on warm
memory, take 1.2 ms; the rest is waiting for keys, values and weights. With 480 characters, as many
as its sample.py writes, nothing changes: 29.1 times beside 29.2 at a load of 18 to 20, and one text
at a time 3.5 beside 2.9.
Tried, without a gain that shows through the load: one product for all heads of a text (slower),
sums added by oneDNN (a step three times as long), scores scaled within the product, few texts read
at a time, huge pages. What helped: the last block reads only the last token (24.5 ms in place of
30.4 for 64 texts of 32), and a draw is cheaper (.08 ms in place of .24). At a load of 18, the least
CPU time of each step summed: 27.6 times where it was 26.4.
Needs `tinyshakespeare` in the data home. Peers: pip install -r benchmarks/gpt.txt
gpu: nanoGPT's own size for this text (6 blocks, 6 heads, 384 wide, windows of 256, batches of
64), which it brings to 1.4697; seconds of training after a first run that only compiles.
27 November 2026, one NVIDIA H200, 500 steps in 7 to 9 s after 25 to 42 s of compiling, dropout .2,
seeds 0 to 2: 1.4935, 1.4993, 1.5005 (in windows that overlap 1.4807 to 1.4888). More steps learn
the text by heart: 800, 1.506; 1,200, 1.569, with dropout .3 1.501. So 1.4697 is not reached.
To try: dropout of the attention's shares and a decay of .1, which nanoGPT has and this has not; a
running mean of the weights; the least loss on the way, which is what nanoGPT's 1.4697 is.
Run: OMP_NUM_THREADS=2 python benchmarks/gpt.py [train|decode|peer|gpu] [seeds] [steps]
"""
import math
import os
import sys
import time
from collections import Counter

os.environ.setdefault('OMP_NUM_THREADS', '2')

import torch
import torch.nn.functional as F
from harness import interleave, machine
from torch import nn

from dlcourse.core.datasets import load
from dlcourse.evaluation.runs import over_seeds
from dlcourse.transformers.decoding import continue_texts
from dlcourse.transformers.fast_decoding import FastGPT
from dlcourse.transformers.gpt import (
    GPT,
    GPTConfig,
    gpt_optimizers,
    gpt_size,
    text_loss,
    train_gpt,
)
from dlcourse.transformers.gpt2_weights import gpt2_from

SIZE = dict(n_positions=64, n_embd=128, n_head=4, n_layer=4)


def shakespeare():
    "Training and validation part as numbers below 65, and how many characters there are"
    text = load('tinyshakespeare')
    letters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids, cut = torch.tensor([letters[c] for c in text]), int(.9*len(text))
    return ids[:cut], ids[cut:], len(letters)


def counted_loss(learnt, judged, order):
    "Nats a character by Witten and Bell's mixture of counts of up to `order` characters before"
    learnt, judged = learnt.tolist(), judged.tolist()
    p = [1/65]*len(judged)
    for k in range(order + 1):
        pairs = Counter(zip(*[learnt[i:] for i in range(k + 1)], strict=False))
        total, kinds = Counter(), Counter()
        for pair, n in pairs.items():
            total[pair[:-1]] += n
            kinds[pair[:-1]] += 1
        for i in range(k, len(judged)):
            before = tuple(judged[i - k:i])
            if before not in kinds: continue
            found = pairs[(*before, judged[i])]
            p[i] = (found + kinds[before]*p[i])/(total[before] + kinds[before])
    return -sum(map(math.log, p))/len(p)


class NanoBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln_1, self.ln_2, self.heads = nn.LayerNorm(dim), nn.LayerNorm(dim), heads
        self.c_attn, self.c_proj = nn.Linear(dim, 3*dim), nn.Linear(dim, dim)
        self.c_fc, self.c_out = nn.Linear(dim, 4*dim), nn.Linear(4*dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (t.view(b, n, self.heads, d//self.heads).transpose(1, 2)
                   for t in self.c_attn(self.ln_1(x)).split(d, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, n, d))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate='tanh'))


class Nano(nn.Module):
    "The network of nanoGPT"
    def __init__(self, vocab, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, n_embd), nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList([NanoBlock(n_embd, n_head) for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        for name, p in self.named_parameters():
            scale = .02/math.sqrt(2*n_layer) if 'c_proj.w' in name or 'c_out.w' in name else .02
            if p.ndim == 2: nn.init.normal_(p, std=scale)
            elif name.endswith('bias'): nn.init.zeros_(p)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h: x = block(x)
        return self.ln_f(x) @ self.wte.weight.T

    @torch.no_grad()
    def generate(self, ids, tokens):
        for _ in range(tokens):
            p = self(ids[:, -64:])[:, -1].softmax(-1)
            ids = torch.cat([ids, torch.multinomial(p, 1)], 1)
        return ids


def as_gpt2(nano):
    "The same weights under the names of GPT-2, on their side"
    names = {'c_attn': 'attn.c_attn', 'c_proj': 'attn.c_proj', 'c_fc': 'mlp.c_fc',
             'c_out': 'mlp.c_proj'}
    weights = {}
    for name, t in nano.state_dict().items():
        parts = name.split('.')
        if parts[0] == 'h' and parts[2] in names:
            parts[2], t = names[parts[2]], t.T if t.ndim == 2 else t
        weights['.'.join(parts)] = t.contiguous()
    return weights


def train(seeds=3, steps=600):
    learnt, judged, vocab = shakespeare()
    config, spent = GPTConfig(vocab_size=vocab), []
    print(f'{gpt_size(config):,} parameters; {machine()}, {torch.get_num_threads()} threads')
    def run(seed):
        torch.manual_seed(seed)
        model = GPT(config)
        wall, cpu = time.perf_counter(), time.process_time()
        train_gpt(model, learnt, steps=steps, seed=seed)
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
        loss = text_loss(model, judged)
        print(f'seed {seed}: {loss:.4f} nats, {spent[-1][0]:.0f} s wall, {spent[-1][1]:.0f} CPU s, '
              f'load {os.getloadavg()[0]:.1f}; overlapping windows '
              f'{text_loss(model, judged, stride=16):.4f}', flush=True)
        return loss
    print(over_seeds({f'{steps} steps': run}, seeds))
    for order in (3, 4, 5):
        print(f'counts, {order} before: {counted_loss(learnt, judged, order):.4f}')


def peer(seeds=1, steps=2000):
    "nanoGPT's recipe: AdamW .001 falling by a cosine to a tenth, betas .9 .99, decay .1, clipping"
    learnt, judged, vocab = shakespeare()
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = Nano(vocab, **SIZE)
        flat = [p for p in model.parameters() if p.ndim < 2]
        wide = [p for p in model.parameters() if p.ndim == 2]
        adam = torch.optim.AdamW([dict(params=wide, weight_decay=.1),
                                  dict(params=flat, weight_decay=0.)], betas=(.9, .99), fused=True)
        wall, cpu = time.perf_counter(), time.process_time()
        for step in range(steps):
            rate = min((step + 1)/100, .1 + .9*(1 + math.cos(math.pi*step/steps))/2)
            for group in adam.param_groups: group['lr'] = 1e-3*rate
            window = learnt[torch.randint(0, len(learnt) - 65, (12, 1)) + torch.arange(65)]
            loss = F.cross_entropy(model(window[:, :-1]).mT, window[:, 1:])
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.)
            adam.step()
        with torch.no_grad():
            windows = judged.unfold(0, 65, 64)
            found = F.cross_entropy(model(windows[:, :-1]).mT, windows[:, 1:]).item()
        print(f'nanoGPT, seed {seed}: {found:.4f} nats, {time.perf_counter() - wall:.0f} s wall, '
              f'{time.process_time() - cpu:.0f} CPU s, load {os.getloadavg()[0]:.1f}', flush=True)


def gpu(seeds=3, steps=1000, dropout=.2, lr=.04):
    "nanoGPT's size for a GPU, with our recipe"
    learnt, judged, vocab = (t.cuda() if torch.is_tensor(t) else t for t in shakespeare())
    torch.set_float32_matmul_precision('high')
    config = GPTConfig(vocab_size=vocab, context=256, dim=384, heads=6, depth=6, dropout=dropout)
    def trained(seed, steps):
        torch.manual_seed(seed)
        model = GPT(config).cuda()
        torch.cuda.synchronize()
        began = time.perf_counter()
        train_gpt(model, learnt, steps=steps, batch_size=64, seed=seed,
                  optimizers=gpt_optimizers(model, lr=lr, other_lr=lr/4))
        torch.cuda.synchronize()
        return model, time.perf_counter() - began
    print(f'{gpt_size(config):,} parameters, {torch.cuda.get_device_name(0)}, compiled in '
          f'{trained(0, 3)[1]:.0f} s', flush=True)
    def run(seed):
        model, seconds = trained(seed, steps)
        loss = text_loss(model, judged)
        print(f'{steps} steps, dropout {dropout}, rate {lr}, seed {seed}: {loss:.4f} nats, '
              f'{seconds:.1f} s; overlapping windows {text_loss(model, judged, stride=64):.4f}',
              flush=True)
        return loss
    print(over_seeds({f'{steps} steps': run}, seeds))


def decode(rounds=3, tokens=120):
    import transformers
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nano = Nano(65, **SIZE).eval()
    with torch.no_grad():
        for p in nano.parameters(): p.add_(.05*torch.randn_like(p))
    weights, settings = as_gpt2(nano), dict(vocab_size=65, **SIZE)
    ours = gpt2_from(weights, settings)
    hf = transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings, bos_token_id=0,
                                                              eos_token_id=0)).eval()
    hf.transformer.load_state_dict(weights)
    ids = torch.randint(0, 65, (3, 64))
    with torch.no_grad():
        apart = max((nano(ids) - ours(ids)).abs().max(), (nano(ids) - hf(ids).logits).abs().max())
    print(f'logits at most {apart:.1e} apart; {tokens} tokens after 4, sampled; {machine()}')
    def by_hf(b):
        return [hf.generate(ids[:1, :4].repeat(b, 1), max_new_tokens=60, do_sample=True,
                            min_new_tokens=60, pad_token_id=0, top_k=0)
                for _ in range(tokens//60)] # It cannot go past the context
    def by_nano(b): return nano.generate(ids[:1, :4].repeat(b, 1), tokens)
    quick = FastGPT(ours)
    def by_us(b): return continue_texts(ours, ids[:1, :4].repeat(b, 1).tolist(), tokens)
    def by_quick(b): return continue_texts(quick, ids[:1, :4].repeat(b, 1).tolist(), tokens)
    by_us(1), by_hf(1)
    ways = {f'{name}, {b} at once': lambda f=f, b=b: f(b) for b in (1, 64) for name, f in
            (('nanoGPT', by_nano), ('transformers', by_hf), ('ours', by_us),
             ('ours, FastGPT', by_quick))}
    found = interleave(ways, rounds=rounds)
    print(found)
    speed = {w: tokens*int(w.split(', ')[-1].split()[0])/found.best(w) for w in ways}
    one = speed['nanoGPT, 1 at once']
    for way, s in speed.items():
        print(f'{way:26} {s:9,.0f} characters a CPU second, {s/one:6.1f} × nanoGPT one at a time')


if __name__ == '__main__':
    what = sys.argv[1] if len(sys.argv) > 1 else 'train'
    ways = {'train': train, 'peer': peer, 'decode': decode, 'gpu': gpu}
    ways[what](*map(int, sys.argv[2:4]), *map(float, sys.argv[4:6]))
