"""Drawing digits pixel by pixel: keys and values kept, against a pass over the whole picture

    python benchmarks/autoregressive.py
"""
import torch
from harness import interleave

from dlcourse.generative.autoregressive import (
    PixelTransformer,
    PixelTransformerConfig,
    sample_cached,
    sample_pixels,
)

SIZES = {'that of the page': PixelTransformerConfig(),
         'twice as wide and deep': PixelTransformerConfig(dim=96, depth=4)}


def differing(results):
    "Share of pixels that are not the same"
    a, b = results.values()
    return float((a != b).float().mean())


def main():
    torch.set_num_threads(1)
    for size, config in SIZES.items():
        torch.manual_seed(0)
        model = PixelTransformer(config).eval()
        for n in (1, 64):
            uniform = torch.rand(n, 64)
            ways = {'whole picture each time': lambda u=uniform, m=model: sample_pixels(m, u),
                    'cached': lambda u=uniform, m=model: sample_cached(m, u)}
            print(f'\n{n} at once, {size}')
            found = interleave(ways, same=differing, rounds=3)
            print(found)
            times = found.paired('whole picture each time', 'cached')
            print(f'cached is {times:.1f} times as fast')


if __name__ == '__main__': main()
