"Holes, pooling, spans and adapters, against loops, scikit-learn's kind of sums and one matrix"
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.transformers.bert import (
    LoRA,
    MaskedLM,
    SpanReader,
    add_lora,
    best_span,
    mask_pieces,
    mean_pool,
    merge_lora,
    merged_linear,
)
from dlcourse.transformers.encoder import Encoder, EncoderConfig

SMALL = EncoderConfig(vocabulary=30, length=20, dim=16, heads=4, hidden=24, depth=2)


def test_of_many_pieces_the_shares_are_those_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 1000, (500, 200), generator=rng)
    other = torch.randint(5, 1000, ids.shape, generator=rng)
    read, chosen = mask_pieces(ids, torch.ones_like(ids, dtype=torch.bool),
                               torch.rand(ids.shape, generator=rng), other, 4)
    asked = chosen.float().mean().item()
    hidden = ((read == 4) & chosen).sum()/chosen.sum()
    stays = ((read == ids) & chosen).sum()/chosen.sum()
    assert abs(asked - .15) < .005 and abs(hidden - .8) < .01 and abs(stays - .1) < .01
    assert torch.equal(read[~chosen], ids[~chosen])


def test_the_head_of_holes_is_hugging_faces():
    transformers = pytest.importorskip('transformers')
    config = transformers.BertConfig(vocab_size=30, max_position_embeddings=20, hidden_size=16,
                                     num_attention_heads=4, intermediate_size=24,
                                     num_hidden_layers=2, layer_norm_eps=1e-12)
    torch.manual_seed(0)
    theirs, ours = transformers.BertForMaskedLM(config).eval(), MaskedLM(Encoder(SMALL)).eval()
    from dlcourse.core.pretrained import fit_weights
    from dlcourse.transformers.encoder import BERT_NAMES
    fit_weights(ours.encoder, theirs.bert.state_dict(), BERT_NAMES)
    head = theirs.cls.predictions
    ours.turn[0].load_state_dict(head.transform.dense.state_dict())
    ours.turn[2].load_state_dict(head.transform.LayerNorm.state_dict())
    ours.bias.data = head.bias.data
    ids, mask = torch.randint(30, (3, 9)), torch.ones(3, 9, dtype=torch.bool)
    chosen = torch.rand(3, 9) < .4
    torch.testing.assert_close(ours(ids, mask, chosen), theirs(ids).logits[chosen], rtol=0,
                               atol=1e-5)


def test_a_mean_has_the_gradient_of_a_mean():
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    mean_pool(hidden, mask).sum().backward()
    want = torch.zeros(2, 3, 4)
    want[0, :2] = .5
    torch.testing.assert_close(hidden.grad, want)


def test_a_reader_points_inside_of_the_passage():
    torch.manual_seed(0)
    reader = SpanReader(Encoder(SMALL)).eval()
    ids, mask = torch.randint(30, (4, 12)), torch.ones(4, 12, dtype=torch.bool)
    passage = (torch.arange(12) > 4).expand(4, 12)
    start, end = reader(ids, mask, passage)
    for s, e in zip(start, end, strict=True):
        first, last = best_span(s, e, 3)
        assert 5 <= first <= last < first + 3


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_merged_is_unmerged_in_every_block(dtype):
    torch.manual_seed(0)
    encoder = Encoder(SMALL).to(dtype).eval()
    before, ids = copy.deepcopy(encoder), torch.randint(30, (3, 8))
    trained = add_lora(encoder, rank=2)
    assert torch.equal(encoder(ids), before(ids))
    assert sum(p.numel() for p in trained) == 2*2*2*2*16
    for p in trained: p.data += .3*torch.randn_like(p)
    adapted = encoder(ids)
    assert not torch.allclose(adapted, before(ids))
    merge_lora(encoder)
    atol = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(encoder(ids), adapted, rtol=0, atol=atol)
    assert encoder.state_dict().keys() == before.state_dict().keys()


def test_an_adapter_trains_itself_and_not_what_it_adapts():
    linear = nn.Linear(6, 4)
    lora = LoRA(linear, 2)
    F.mse_loss(lora(torch.randn(9, 6)), torch.randn(9, 4)).backward()
    assert linear.weight.grad is None and lora.up.grad is not None
    assert merged_linear(lora).weight.shape == (4, 6)


@pytest.mark.parametrize('rank', [0, 5, -1, 1.5])
def test_a_rank_that_cannot_be(rank):
    with pytest.raises(InputError, match=f'`rank` must be a whole number from 1 to 4, got {rank}'):
        LoRA(nn.Linear(6, 4), rank)


def test_an_encoder_that_cannot_be_adapted_stays_as_it_was():
    encoder = Encoder(SMALL)
    with pytest.raises(InputError, match='`rank` must be a whole number from 1 to 16'):
        add_lora(encoder, 99)
    assert all(p.requires_grad for p in encoder.parameters())
    add_lora(encoder, 2)
    with pytest.raises(InputError, match='`encoder` must not have adapters yet'): add_lora(encoder)


@pytest.mark.parametrize('kind', [torch.int64, torch.uint8, torch.float32])
def test_what_is_chosen_by_numbers_is_what_is_chosen_by_truths(kind):
    "0 and 1 were taken for the first and the second text"
    model = MaskedLM(Encoder(SMALL)).eval()
    ids, mask = torch.randint(30, (2, 9)), torch.ones(2, 9, dtype=torch.bool)
    chosen = torch.arange(18).reshape(2, 9) % 4 == 0
    assert torch.equal(model(ids, mask, chosen.to(kind)), model(ids, mask, chosen))
