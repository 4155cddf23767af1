"The loop: what is killed goes on bit for bit, two processes are one, and errors say what to do"
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from loop_runs import (
    QUIET,
    Slow,
    X,
    Y,
    batches,
    held_out,
    long_run,
    network,
    same,
    shared_run,
    small,
)
from sklearn.metrics import f1_score
from torch import nn
from torch.nn import functional as F
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    TensorDataset,
)

from dlcourse.core.errors import InputError
from dlcourse.foundations.losses import cross_entropy, focal, info_nce
from dlcourse.foundations.schedules import cosine, warmup
from dlcourse.training.batches import Batches, evaluate, top1_accuracy
from dlcourse.training.callbacks import Callback, EarlyStopping
from dlcourse.training.checkpoints import load_state
from dlcourse.training.loop import first_difference, fit, train_step
from dlcourse.training.many import fit_many

# A run that is killed, and goes on

SCRIPT = '''
import sys, time
import torch
torch.set_num_threads(1)
sys.path[:0] = {path!r}
import loop_runs as t
from dlcourse.training.callbacks import Callback

class Slow(Callback):
    def on_step(self, run):
        with open('steps', 'a') as log: log.write(f'{{run.step}}\\n')
        time.sleep(.01 if run.step < 40 else 3600) # It is killed before its end, however late

t.long_run('run.safetensors', [Slow()])
'''


def test_a_run_killed_at_a_random_moment_goes_on_bit_for_bit(tmp_path):
    here = Path(__file__).parent
    (tmp_path/'run.py').write_text(SCRIPT.format(path=[str(here), str(here.parent)]))
    checkpoint, log = tmp_path/'run.safetensors', tmp_path/'steps'
    process = subprocess.Popen([sys.executable, 'run.py'], cwd=tmp_path,
                               env=os.environ | {'OMP_NUM_THREADS': '1'})
    while not checkpoint.exists() and process.poll() is None: time.sleep(.01)
    time.sleep(random.Random().uniform(0, .7))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached, saved = int(log.read_text().split()[-1]), load_state(checkpoint)
    assert 0 <= reached - saved['step'] <= 4 # At most one interval is lost

    class Seen(Slow):
        name, steps = 'Slow', []
        def on_step(self, run): self.steps.append(run.step)
    def drawn(): return random.random(), float(np.random.rand()), float(torch.rand(()))
    (model, history), after = long_run(checkpoint, [Seen()]), drawn() # Goes on in this process
    assert Seen.steps[0] == saved['step'] + 1
    (undisturbed, whole), after_whole = long_run(None, [Slow()]), drawn()
    assert same(model.state_dict(), undisturbed.state_dict()) and after == after_whole
    assert history.rows == whole.rows and history.losses == whole.losses
    assert history.stopped == whole.stopped


class Loader:
    "DataLoaders that draw their order from torch, or from a generator of their own"
    def plain(): return DataLoader(TensorDataset(X[:84], Y[:84]), batch_size=16, shuffle=True)
    def own():
        return DataLoader(TensorDataset(X[:84], Y[:84]), batch_size=16, shuffle=True,
                          generator=torch.Generator().manual_seed(3))
    def fixed(): return [(X[:40], Y[:40]), (X[40:84], Y[40:84])]
    def sampler():
        rows = TensorDataset(X[:84], Y[:84])
        own = torch.Generator().manual_seed(4)
        return DataLoader(rows, batch_size=16, sampler=RandomSampler(rows, generator=own))


@pytest.mark.parametrize('data', [batches, Loader.plain, Loader.own, Loader.fixed, Loader.sampler])
@pytest.mark.parametrize('stop', [1, 6, 9])
def test_a_run_in_two_pieces_is_the_run_in_one(data, stop, tmp_path):
    def run(**how):
        model = network()
        return model, fit(model, data(), F.cross_entropy, replace(QUIET, schedule=warmup(8), **how),
                          [EarlyStopping()], valid=held_out())
    model, history = run()
    # Stopped, asked again for the same, and for the whole
    for how in ({'max_steps': stop}, {'max_steps': stop}, {}):
        again, pieces = run(checkpoint=tmp_path/'run', **how)
        torch.rand(7) # The generator moves on in between
    assert same(again.state_dict(), model.state_dict()) and pieces.losses == history.losses
    assert pieces.rows == history.rows


def test_a_longer_run_continues_a_finished_one(tmp_path):
    config = replace(QUIET, checkpoint=tmp_path/'run')
    fit(network(), batches(), F.cross_entropy, replace(config, epochs=2))
    longer, whole = fit(network(), batches(), F.cross_entropy, config), fit(network(), batches(),
                                                                            F.cross_entropy, QUIET)
    assert longer.losses == whole.losses
    # Already finished: nothing is done
    assert fit(network(), batches(), F.cross_entropy, config).losses == whole.losses


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    def run():
        model = network()
        config = replace(QUIET, epochs=60, lr=.05, checkpoint=tmp_path/'run')
        return model, fit(model, batches(), F.cross_entropy, config, [EarlyStopping(patience=2)],
                          valid=held_out())
    (model, history), (again, same_history) = run(), run()
    assert same_history.rows == history.rows and len(history.rows) < 60
    assert same_history.stopped == history.stopped
    assert same(again.state_dict(), model.state_dict())


def test_ctrl_c_ends_the_run_after_its_step_and_leaves_a_checkpoint(tmp_path):
    class Interrupt(Callback):
        name = 'Slow'
        def on_step(self, run):
            if run.step == 9: signal.raise_signal(signal.SIGINT)
    config = replace(QUIET, checkpoint=tmp_path/'run')
    before = signal.getsignal(signal.SIGINT)
    history = fit(network(), batches(), F.cross_entropy, config, [Interrupt()])
    assert history.stopped == 'interrupted' and len(history.losses) == 9 and len(history.rows) == 1
    assert signal.getsignal(signal.SIGINT) is before
    rest, whole = fit(network(), batches(), F.cross_entropy, config, [Slow()]), fit(network(),
                                                                                    batches(),
                                                                                    F.cross_entropy,
                                                                                    QUIET, [Slow()])
    assert rest.losses == whole.losses and rest.rows == whole.rows and rest.stopped == 'finished'


def test_a_second_ctrl_c_strikes_at_once():
    class Interrupt(Callback):
        def on_step(self, run): signal.raise_signal(signal.SIGINT)
        def on_epoch(self, run): raise AssertionError('not reached')
    class Impatient(Interrupt):
        def on_step(self, run): super().on_step(run); super().on_step(run)
    assert fit(small(), batches(), F.cross_entropy, QUIET, [Interrupt()]).stopped == 'interrupted'
    with pytest.raises(KeyboardInterrupt):
        fit(small(), batches(), F.cross_entropy, QUIET, [Impatient()])


# Files

def test_a_checkpoint_is_json_and_tensors_and_nothing_is_pickled(tmp_path, monkeypatch):
    def no(*_, **__): raise AssertionError('pickled')
    for name in ('dump', 'dumps', 'load', 'loads', 'Pickler', 'Unpickler'):
        monkeypatch.setattr(f'pickle.{name}', no)
    for name in ('save', 'load'): monkeypatch.setattr(torch, name, no)
    path = tmp_path/'run'
    for epochs in (1, 2):
        fit(network(), batches(), F.cross_entropy, replace(QUIET, epochs=epochs, checkpoint=path),
            [EarlyStopping()], valid=held_out())
    raw = path.read_bytes()
    length, = struct.unpack('<Q', raw[:8])
    header = json.loads(raw[8:8 + length])
    json.loads(header.pop('__metadata__')['dlcourse.state.2'])
    # Header and tensors, and not a byte more
    assert 8 + length + max(t['data_offsets'][1] for t in header.values()) == len(raw)
    assert [p.name for p in tmp_path.iterdir()] == ['run']


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    config = replace(QUIET, checkpoint=tmp_path/'run')
    fit(network(), batches(), F.cross_entropy, replace(config, epochs=1))
    old = (tmp_path/'run').read_bytes()
    def full(*_): raise OSError('disk full')
    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='disk full'):
        fit(network(), batches(), F.cross_entropy, config)
    assert (tmp_path/'run').read_bytes() == old and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('change, says', [
    (dict(config=dict(clip=1.)), r'`clip` was None and is 1\.0'),
    (dict(config=dict(lr=.5)), r'`optimizer\.lr` was 0\.001 and is 0\.5'),
    (dict(config=dict(optimizer=torch.optim.SGD, lr=.1)), r'`optimizer` was AdamW and is SGD'),
    (dict(config=dict(schedule=warmup(4))), r'`schedule\(0\)` was \(not there\) and is 0\.2'),
    (dict(batches=lambda: batches(8)), r'`batches\.batch_size` was 16 and is 8'),
    (dict(batches=lambda: batches(seed=1)), r'`batches\.seed` was 0 and is 1'),
    (dict(model=small),
     r'`model\.0\.weight` was 16×6 float32 and is 8×6 float32.* more\. To go on'),
    (dict(model=lambda: network(1)), r'begins with other weights .*another seed'),
    (dict(loss=F.nll_loss), r'`loss` was cross_entropy and is nll_loss'),
    (dict(callbacks=[EarlyStopping('train_loss')]),
     r"`callbacks` was \[\] and is \['EarlyStopping'\]"),
])
def test_a_checkpoint_of_another_run_is_refused(change, says, tmp_path):
    config = replace(QUIET, epochs=1, checkpoint=tmp_path/'run.safetensors')
    fit(network(), batches(), F.cross_entropy, config)
    before = (tmp_path/'run.safetensors').read_bytes()
    def other(**more):
        return fit(change.get('model', network)(), change.get('batches', batches)(),
                   change.get('loss', F.cross_entropy),
                   replace(config, **change.get('config', {}), **more), change.get('callbacks', ()))
    with pytest.raises(InputError, match=r'run\.safetensors') as error: other()
    assert re.search(says, str(error.value)) and 'resume=False' in str(error.value)
    assert (tmp_path/'run.safetensors').read_bytes() == before
    if 'loss' not in change: assert len(other(resume=False).rows) == 1


def test_a_file_that_is_no_checkpoint(tmp_path):
    for content in (b'', b'hello', struct.pack('<Q', 2) + b'{}'):
        (tmp_path/'run').write_bytes(content)
        with pytest.raises(InputError, match='`run` is not a checkpoint of this library, or is '
                                             'damaged; give another file name'):
            fit(network(), batches(), F.cross_entropy, replace(QUIET, checkpoint=tmp_path/'run'))


# Two processes are one

TWO = '''
import sys
sys.path[:0] = {path!r}
import loop_runs as t
t.shared_run('two')
'''


@pytest.mark.slow
def test_two_processes_under_torchrun_train_as_one_does(tmp_path):
    here = Path(__file__).parent
    (tmp_path/'two.py').write_text(TWO.format(path=[str(here), str(here.parent)]))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node',
               '2', 'two.py']
    two = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True,
                         env=os.environ | {'OMP_NUM_THREADS': '1'})
    assert two.returncode == 0, two.stderr
    theirs, ours = load_state(tmp_path/'two.end'), shared_run('one')
    for key in ours: # 81 rows in batches of 20: the last has one row, and a process has none
        np.testing.assert_allclose(theirs[key]['losses'], ours[key]['losses'], rtol=1e-5)
        np.testing.assert_allclose([r['valid_loss'] for r in theirs[key]['rows']],
                                   [r['valid_loss'] for r in ours[key]['rows']], rtol=1e-5)
    assert two.stderr.count('finished: 4 epochs') == 1 # One bar, not two
    assert load_state(tmp_path/'two0')['about']['processes'] == 2


# The step

def bare_loop(model, epochs=4):
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(epochs):
        for rows in torch.randperm(84, generator=generator).split(16):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X[rows]), Y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_the_bare_loop_has_the_same_losses_and_weights():
    ours, theirs = network(), network()
    torch.manual_seed(7)
    history = fit(ours, batches(), F.cross_entropy, QUIET)
    torch.manual_seed(7)
    assert bare_loop(theirs.train()) == history.losses
    assert same(ours.state_dict(), theirs.state_dict())
    assert not ours.training


@pytest.mark.parametrize('parts', [2, 3, 4, 16, 100])
def test_accumulation_takes_the_steps_of_the_whole_batch(parts):
    losses = [fit(small(), batches(), F.cross_entropy, replace(QUIET, accumulate=k)).losses
              for k in (1, parts)]
    np.testing.assert_allclose(*losses, atol=2e-6)


def test_clipping_is_by_the_norm_of_all():
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.)
    before = [p.detach().clone() for p in model.parameters()]
    train_step(model, (100*X, Y), F.cross_entropy, optimizer, clip=.25)
    moved = torch.cat([(p.detach() - b).flatten() for p,
                       b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(.25, abs=1e-4)


@pytest.mark.parametrize('schedule', [warmup(4), cosine(24, warmup=3)])
def test_each_step_is_taken_at_the_rate_of_its_schedule(schedule):
    rates = []
    class Spy(Callback):
        def on_step(self, run): rates.append(run.optimizer.param_groups[0]['lr'])
    fit(small(), batches(), F.cross_entropy,
        replace(QUIET, lr=2., schedule=schedule, optimizer=torch.optim.SGD, max_steps=10), [Spy()])
    assert rates == [2*schedule(k) for k in range(10)]


def test_bfloat16_trains_and_float16_needs_a_gpu():
    full, half = (fit(small(), batches(), F.cross_entropy, replace(QUIET, precision=p),
                      valid=held_out()) for p in ('float32', 'bfloat16'))
    assert full.losses != half.losses
    np.testing.assert_allclose(full.losses, half.losses, atol=.02)
    with pytest.raises(InputError, match='`precision` is float16, which needs a GPU; use bfloat16'):
        fit(small(), batches(), F.cross_entropy, replace(QUIET, precision='float16'))


def test_frozen_parameters_stay():
    model = small()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    fit(model, batches(), F.cross_entropy, replace(QUIET, clip=1.))
    assert torch.equal(model[0].weight, before)


# History, evaluation, early stopping

def test_a_norm_that_sleeps_on_purpose_goes_on_sleeping():
    model = network()
    model[1].eval()
    for _ in range(2): # The second time the model as a whole has been put to sleep
        for p in model[1].parameters(): p.requires_grad_(False)
        fit(model, batches(), F.cross_entropy, QUIET)
        assert model[1].running_mean.tolist() == [0]*16
    model[1].requires_grad_(True)
    fit(model, batches(), F.cross_entropy, QUIET)
    assert model[1].running_mean.abs().min() > 0


@pytest.mark.parametrize('data, says', [
    (lambda: Batches(X[:33], Y[:33], batch_size=32), 'batch normalization needs two rows or more'),
    (lambda: DataLoader(TensorDataset(X[:9], Y[:9]), batch_size=16, drop_last=True),
     '`batches` must hold a batch or more'),
    (lambda: Batches(X[:9], Y[:9], batch_size=16, drop_last=True), '`drop_last` leaves nothing')])
def test_batches_that_cannot_be_trained_on_say_what_to_do(data, says):
    with pytest.raises(InputError, match=says): fit(network(), data(), F.cross_entropy, QUIET)


WEIGHT = torch.tensor([1., 7.])


@pytest.mark.parametrize('loss', [
    F.cross_entropy, cross_entropy, focal, partial(F.cross_entropy, weight=WEIGHT),
    partial(cross_entropy, weight=WEIGHT, ignore_index=0, label_smoothing=.1),
    nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=.1)])
def test_parts_are_the_batch_whatever_a_loss_leaves_out_or_weighs(loss):
    target = Y.masked_fill(X[:, 0] > 0, -100)
    if isinstance(loss, partial) and 'ignore_index' in loss.keywords: target = Y
    one, four = (fit(small(), Batches(X, target, batch_size=24), loss,
                     replace(QUIET, accumulate=k, optimizer='sgd', lr=.1),
                     valid=Batches(X, target, batch_size=7*k)) for k in (1, 4))
    assert one.losses == pytest.approx(four.losses, rel=1e-5)
    assert one['valid_loss'] == pytest.approx(four['valid_loss'], rel=1e-5)


@pytest.mark.parametrize('loss', [
    lambda o, t: F.cross_entropy(o, t, weight=WEIGHT), lambda o, t: info_nce(o, o.roll(1, 0))])
def test_parts_are_refused_where_a_loss_is_no_mean_over_rows(loss):
    fit(small(), batches(), loss, replace(QUIET, epochs=1))
    with pytest.raises(InputError, match='`accumulate` is 4, and `loss` is no mean over rows'):
        fit(small(), batches(), loss, replace(QUIET, accumulate=4))


def test_a_loss_that_draws_is_no_worse_for_being_looked_at():
    def noisy(outputs, target): return F.cross_entropy(outputs + torch.rand(()), target)
    def run(loss): return fit(small(), batches(), loss, replace(QUIET, accumulate=2)).losses
    assert run(noisy) == pytest.approx(run(F.cross_entropy), rel=1e-4)


class Turned:
    "Samplers whose order depends on what no generator of torch knows"
    def __init__(self, how):
        self.how, self.epoch = how, 0
        self.chance = dict(random=random.Random(2), generator=np.random.default_rng(2),
                           state=np.random.RandomState(2), inner=torch.Generator())[how] if (
                               how != 'epoch') else None

    def __len__(self): return 84

    def __iter__(self):
        self.epoch += 1
        if self.how == 'random': return iter(self.chance.sample(range(84), 84))
        if self.how == 'inner': return iter(torch.randperm(84, generator=self.chance).tolist())
        if self.how != 'epoch': return iter(self.chance.permutation(84).tolist())
        return iter(np.random.default_rng(self.epoch).permutation(84).tolist())


class Wrapped:
    "A sampler around another one"
    def __init__(self, inner): self.inner = inner
    def __len__(self): return 84
    def __iter__(self): return iter(self.inner)


@pytest.mark.parametrize('how', ['random', 'generator', 'state', 'inner', 'epoch'])
@pytest.mark.parametrize('stop', [6, 9])
def test_an_order_that_is_drawn_elsewhere_goes_on_too(how, stop, tmp_path):
    def run(size=16, **more):
        data = DataLoader(TensorDataset(X[:84], Y[:84]), batch_sampler=BatchSampler(
            Wrapped(Turned(how)), size, drop_last=False))
        return fit(small(), data, F.cross_entropy, replace(QUIET, **more)).losses
    whole = run()
    for more in ({'max_steps': stop}, {}): pieces = run(checkpoint=tmp_path/'run', **more)
    assert pieces == whole
    with pytest.raises(InputError, match='batch_size` was 16 and is 12'):
        run(size=12, checkpoint=tmp_path/'run', epochs=9)


def test_rows_to_evaluate_on_must_begin_anew():
    with pytest.raises(InputError, match='`valid` can be gone through only once'):
        fit(small(), batches(), F.cross_entropy, QUIET, valid=iter([(X, Y)]))


def test_what_slept_on_purpose_sleeps_in_the_next_run_too():
    model = network()
    model[1].eval()
    before = model[1].running_mean.clone()
    for _ in range(2): fit(model, batches(), F.cross_entropy, replace(QUIET, epochs=1))
    assert torch.equal(model[1].running_mean, before)
    model.train()
    fit(model, batches(), F.cross_entropy, replace(QUIET, epochs=1))
    assert not torch.equal(model[1].running_mean, before)


def test_the_history_is_a_frame_with_a_row_for_each_epoch():
    def f1(outputs, target): return f1_score(target, outputs.argmax(-1), average='macro')
    model = small()
    history = fit(model, batches(), F.cross_entropy, QUIET,
                  valid={'valid': held_out(), 'again': batches(50)},
                  metrics={'accuracy': top1_accuracy, 'f1': f1})
    frame = history.frame
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == ['epoch', 'step', 'lr', 'train_loss', 'valid_loss', 'valid_accuracy',
                             'valid_f1',
                                                                 'again_loss', 'again_accuracy',
                                                                 'again_f1']
    assert frame['epoch'].to_list() == [1, 2, 3, 4] and frame['step'].to_list() == [6, 12, 18, 24]
    epoch = history.losses[-6:]
    assert history['train_loss'][-1] == pytest.approx((sum(epoch[:5])*16 + 4*epoch[5])/84)
    with torch.no_grad(): said = model(X[84:])
    assert history['valid_loss'][-1] == pytest.approx(F.cross_entropy(said, Y[84:]).item(),
                                                      abs=1e-6)
    # Of the whole set, not a mean over batches
    assert history['valid_f1'][-1] == pytest.approx(f1(said, Y[84:]))
    assert '4 epochs, 24 steps' in repr(history) and '<table' in history._repr_html_()
    with pytest.raises(InputError, match='`loss` is not in the history; there are: epoch, step, '
                                         'lr, train_loss'):
        history['loss']


def test_early_stopping_goes_back_to_the_best_weights():
    kept, model = [], network()
    history = fit(model, batches(), F.cross_entropy, replace(QUIET, epochs=80, lr=.05),
                  [stopper := EarlyStopping(patience=4), lambda run: kept.append(
        {k: v.clone() for k, v in run.model.state_dict().items()})], valid=held_out())
    best = int(np.argmin(history['valid_loss']))
    assert len(history.rows) == best + 1 + 4 and stopper.best_epoch == best + 1
    assert same(model.state_dict(), kept[best])
    assert history.stopped == f'no better `valid_loss` for 4 epochs, best in epoch {best + 1}'


def test_callbacks_are_called_in_their_places_and_their_errors_go_through():
    calls = []
    class Spy(Callback):
        def on_start(self, run): calls.append('start')
        def on_step(self, run): calls.append(run.step)
        def on_epoch(self, run): calls.append(f'epoch {run.epoch}')
        def on_end(self, run): calls.append('end')
    fit(small(), batches(40), F.cross_entropy, replace(QUIET, epochs=2), [Spy()])
    assert calls == ['start', 1, 2, 3, 'epoch 1', 4, 5, 6, 'epoch 2', 'end']
    class Pruned(Exception): pass
    def prune(run): raise Pruned
    with pytest.raises(Pruned): fit(small(), batches(), F.cross_entropy, QUIET, [prune])
    def enough(run): run.stop = 'enough' if run.epoch == 2 else None
    history = fit(small(), batches(), F.cross_entropy, QUIET, [enough])
    assert history.stopped == 'enough' and len(history.rows) == 2


# Errors

def test_batches_that_can_be_gone_through_only_once_are_refused():
    with pytest.raises(InputError, match='`batches` can be gone through only once'):
        fit(small(), iter(batches()), F.cross_entropy, QUIET)


def test_a_list_of_rates_is_for_many_models():
    with pytest.raises(InputError,
                       match=r'`lr` must be one number for one model, got \[0.1, 0.2\]'):
        fit(small(), batches(), F.cross_entropy, replace(QUIET, lr=[.1, .2]))


def test_a_loss_that_is_no_number_says_at_which_step(tmp_path):
    calls = iter(range(100))
    def loss(outputs, target):
        return F.cross_entropy(outputs, target)*(float('nan') if next(calls) == 8 else 1)
    with pytest.raises(InputError, match=r'the loss is nan at step 9, in epoch 2\. Try a lower '
                                         r'`lr` \(it is 0\.001\), `clip=1\.0`, or a `schedule`'):
        fit(small(), batches(), loss, replace(QUIET, checkpoint=tmp_path/'run'))
    assert load_state(tmp_path/'run')['step'] == 6 # The last good one

    class Spoil(Callback):
        def on_step(self, run):
            if run.step == 12: run.parameters[0].data[0] = float('inf')
    with pytest.raises(InputError, match=r'the weights are not finite at step 12, in epoch 2'):
        fit(small(), batches(), F.cross_entropy, replace(QUIET, checkpoint=tmp_path/'other'),
            [Spoil()])
    assert load_state(tmp_path/'other')['step'] == 6


def test_the_bar_is_silent_unless_asked(capfd):
    fit(small(), batches(), F.cross_entropy, replace(QUIET, progress=None))
    assert capfd.readouterr() == ('', '')
    fit(small(), batches(), F.cross_entropy, replace(QUIET, progress=True), valid=held_out())
    out, err = capfd.readouterr()
    assert out == '' and '24 of 24 steps' in err and 'finished: 4 epochs' in err


@pytest.mark.parametrize('loss', [F.cross_entropy, cross_entropy,
                                  nn.CrossEntropyLoss(weight=torch.tensor([1., 3., 1.]))])
def test_the_loss_of_an_epoch_is_a_mean_over_what_counts(loss):
    "The first batch leaves out all but one of its rows, and weighs as much as one row"
    x, y = torch.randn(16, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3
    y[1:8] = -100
    model = nn.Linear(6, 3)
    with torch.no_grad(): want = float(loss(model(x), y))
    config = replace(QUIET, epochs=1, optimizer='sgd', lr=1e-9)
    history = fit(model, Batches(x, y, batch_size=8), loss, config)
    assert history['train_loss'] == pytest.approx([want], rel=1e-5)


def test_batch_norm_in_parts_is_refused_and_asleep_it_is_not():
    def model(): return nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))
    asleep = model()
    asleep[0].eval()
    x, y = torch.randn(16, 6), torch.arange(16) % 3
    config = replace(QUIET, epochs=1, accumulate=2)
    with pytest.raises(InputError, match='`accumulate` is 2, and batch norm .0. takes mean'):
        fit(model(), Batches(x, y, batch_size=8), F.cross_entropy, config)
    fit(asleep, Batches(x, y, batch_size=8), F.cross_entropy, config)


A = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
B = A.sum(1, keepdim=True)
KIND = (A[:, 0] > 0).long()
LOSSES = [F.mse_loss, F.huber_loss, nn.L1Loss(), F.binary_cross_entropy_with_logits,
          lambda o, t: (o - t).square().mean(), lambda o, t: F.relu(1 - t.float()*o).mean()]


def line(outputs=1): return nn.Linear(3, outputs)


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize(('outputs', 'target'), [(1, B[:, 0]), (1, B.expand(20, 2)), (2, B)])
def test_outputs_and_targets_are_never_stretched_to_one_shape(loss, outputs, target):
    data = Batches(A, target)
    with pytest.raises(InputError, match='entry by entry, which would stretch one'):
        fit(line(outputs), data, loss, QUIET)
    with pytest.raises(InputError, match='entry by entry, which would stretch one'):
        evaluate(line(outputs), data, loss)
    with pytest.raises(InputError, match='`hit` takes outputs of shape'):
        evaluate(line(2), Batches(A, KIND), F.cross_entropy, {'hit': lambda o, t: (o == t).sum()})


@pytest.mark.parametrize('how', ['loop', 'vmap', 'stacked', 'auto'])
def test_nor_are_they_for_many(how):
    def make(): return nn.Sequential(line(4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(InputError, match='would stretch one'):
        fit_many(make, (A, B[:, 0]), F.mse_loss, seeds=2, how=how, epochs=1)
    assert len(fit_many(make, (A, B), F.mse_loss, seeds=2, how=how, epochs=1)) == 2
    with pytest.raises(InputError, match='`schedule` must give a finite number from 0'):
        fit_many(make, (A, B), F.mse_loss, seeds=2, how=how, epochs=1, schedule=lambda step: -1.)


@pytest.mark.parametrize(('loss', 'outputs', 'target'), [
    (nn.CrossEntropyLoss(label_smoothing=.1), 2, KIND), (F.multi_margin_loss, 2, KIND),
    (lambda o, t: -o.log_softmax(1).gather(1, t[:, None]).mean(), 2, KIND),
    (lambda o, t: F.mse_loss(o.squeeze(1), t), 1, B[:, 0]),
    (lambda o, t: (t.expand_as(o) - o).abs().mean(), 3, B),
    (lambda o, t: F.gaussian_nll_loss(o[:, :1], t, o[:, 1:].exp()), 2, B),
    (lambda o, t: ((o[:, None] - o).square().sum(-1)*(t[:, None] == t)).mean(), 2, KIND),
    (lambda o, t: F.mse_loss(o, t, reduction='sum')/len(t), 1, B)])
def test_a_loss_may_take_other_shapes_and_is_looked_at_for_nothing(loss, outputs, target):
    torch.manual_seed(0)
    model, plain = line(outputs), line(outputs)
    plain.load_state_dict(model.state_dict())
    data, config = Batches(A, target, batch_size=20, shuffle=False), replace(QUIET, epochs=1)
    assert fit(model, data, loss, config).losses[0] == loss(plain(A), target).item()


@pytest.mark.parametrize(('loss', 'came'), [
    (nn.MSELoss(reduction='sum'), 'a sum'), (lambda o, t: (o - t).abs().sum(), 'a sum'),
    (partial(F.l1_loss, reduction='none'), '20 numbers')])
def test_a_loss_that_is_no_mean_is_refused(loss, came):
    data = Batches(A, B)
    for ask in (lambda: fit(line(), data, loss, QUIET), lambda: evaluate(line(), data, loss)):
        with pytest.raises(InputError, match=f'the mean over the rows .* got {came}'): ask()


@pytest.mark.parametrize(('valid', 'metrics', 'name'), [
    ({'train': Batches(A, B)}, None, 'train_loss'), (Batches(A, B), {'loss': max}, 'valid_loss'),
    ({'a_b': Batches(A, B), 'a': Batches(A, B)}, {'b_loss': max}, 'a_b_loss')])
def test_names_that_coincide_in_the_history_are_refused(valid, metrics, name):
    with pytest.raises(InputError, match=f"'{name}' would stand twice in the history"):
        fit(line(), Batches(A, B), F.mse_loss, QUIET, valid=valid, metrics=metrics)


def test_a_stream_without_a_length_is_gone_through():
    class Stream(IterableDataset):
        def __iter__(self): return iter(list(zip(A, B, strict=True)))
    history = fit(line(), DataLoader(Stream(), batch_size=8), F.mse_loss, replace(QUIET, epochs=2))
    assert len(history.rows) == 2 and len(history.losses) == 6


@pytest.mark.parametrize(('batches', 'says'), [
    (None, '`batches` must be `Batches`'), (A, '`batches` must be `Batches`'),
    ([{'x': A}], 'got dict'), ([(A.numpy(), B.numpy())], 'must give tuples of tensors'),
    ([A], 'got Tensor'), ([()], 'an empty one'), ([(A[:0], B[:0])], 'with a row at least')])
def test_what_is_no_batch_is_told(batches, says):
    with pytest.raises(InputError, match=says): fit(line(), batches, F.mse_loss, QUIET)


@pytest.mark.parametrize(('model', 'says'), [
    (line().requires_grad_(False), 'all are frozen'), (nn.Identity(), 'there are none'),
    (nn.LazyLinear(1), 'a lazy layer')])
def test_a_model_that_cannot_be_trained_is_told(model, says):
    with pytest.raises(InputError, match=says): fit(model, Batches(A, B), F.mse_loss, QUIET)


@pytest.mark.parametrize('factor', [-1., None, '1', float('nan'), float('inf')])
def test_a_schedule_gives_finite_numbers_from_0(factor):
    config = replace(QUIET, schedule=lambda step: factor)
    with pytest.raises(InputError, match='`schedule` must give a finite number from 0'):
        fit(line(), Batches(A, B), F.mse_loss, config)


def test_runs_of_one_seed_differ_nowhere_and_of_two_at_once():
    one, other, again = (fit(small(), batches(seed=seed), cross_entropy, QUIET).losses
                         for seed in (0, 1, 0))
    assert first_difference(one, again) is None
    assert first_difference(one, other) == 1
    assert first_difference(one, [*one, 0.]) == len(one) + 1
