"Layers with weights as no initialization leaves them: none zero, none the identity"
import torch
from torch import nn


def stirred(
    module:nn.Module, # Changed in place
    seed:int=0,
    scale:float=.3,   # Deviation of the new weights
)->nn.Module:         # The same
    "All parameters drawn anew"
    g = torch.Generator().manual_seed(seed)
    for p in module.parameters(): p.data = scale*torch.randn(p.shape, generator=g, dtype=p.dtype)
    return module
