"Pretrained weights: read as data only, fitted whole or with a report; two real models"
import pickle
import subprocess
import sys

import pytest

from dlcourse.core.cards import card
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.core.pretrained import fit_weights, load_weights

torch = pytest.importorskip('torch')
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402


def refused(f, *args, **more):
    with pytest.raises(InputError) as e: f(*args, **more)
    assert '\n' not in str(e.value)
    return str(e.value)


def net(out=2): return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, out))

NO_DATA = 'holds no weights that can be read as data: '
NAMES = {'0': 'stem.dense', '1': 'stem.norm', '2': 'head'}
RENAME = {r'^stem\.dense\.': '0.', r'^stem\.norm\.': '1.', r'^head\.': '2.'}

def published(**more):
    "Weights of a network as somebody else would have named them"
    torch.manual_seed(0)
    weights = net().state_dict()
    return {f'{NAMES[name[0]]}{name[1:]}': value for name, value in weights.items()} | more

def state(model): return {name: value.clone() for name, value in model.state_dict().items()}

def same(a, b): return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Files

@pytest.mark.parametrize('name', ['w.safetensors', 'w.pth', 'w.pt'])
def test_weights_are_read_from_each_type_of_file(tmp_path, name):
    save = save_file if name.endswith('safetensors') else torch.save
    save(published(), tmp_path/name)
    for path in (tmp_path/name, str(tmp_path/name)): assert same(load_weights(path), published())

class Program:
    "What a pickle may be"
    def __init__(self, path): self.path = path
    def __reduce__(self): return (open, (str(self.path), 'w'))

def test_no_pickle_is_run(tmp_path):
    path, trace = tmp_path/'w.pth', tmp_path/'trace'
    plain, torchs = pickle.dumps(Program(trace), 2), tmp_path/'torchs.pth'
    torch.save({'w': Program(trace)}, torchs)
    for data in (plain, torchs.read_bytes()):
        path.write_bytes(data)
        assert refused(load_weights, path).startswith(f'`w.pth` {NO_DATA}')
        assert not trace.exists()

@pytest.mark.parametrize('name', ['w.safetensors', 'w.pth'])
@pytest.mark.parametrize('data', [b'', b'x', b'\xff'*100, pickle.dumps(3)],
                         ids=['empty', 'x', 'ff', 'pickle'])
def test_a_broken_file_says_so(tmp_path, name, data):
    (tmp_path/name).write_bytes(data)
    assert refused(load_weights, tmp_path/name).startswith(f'`{name}` ')

def test_a_file_cut_short_says_so(tmp_path):
    for name, save in (('w.safetensors', save_file), ('w.pth', torch.save)):
        save(published(), tmp_path/name)
        (tmp_path/name).write_bytes((tmp_path/name).read_bytes()[:-50])
        assert refused(load_weights, tmp_path/name).startswith(f'`{name}` {NO_DATA}')

@pytest.mark.parametrize('what', [
    3, [torch.ones(2)], {'a': {'b': torch.ones(2)}}, {1: torch.ones(2)}],
    ids=['number', 'list', 'nested', 'unnamed'])
def test_what_is_no_dict_of_tensors_is_refused(tmp_path, what):
    torch.save(what, tmp_path/'w.pth')
    says = '`w.pth` must hold a dict of tensors; it holds something else, a '
    assert refused(load_weights, tmp_path/'w.pth').startswith(says)

def test_wrong_paths_and_names_are_refused(tmp_path):
    (tmp_path/'w.bin').write_bytes(b'')
    assert 'it must end in .safetensors, .pth, .pt' in refused(load_weights, tmp_path/'w.bin')
    gone = str(tmp_path/'no.pth')
    assert refused(load_weights, gone) == f'`{gone}` is not a file; check the name and the folder'
    assert 'is no data set' in refused(load_weights, 'no-such-model')
    says = "`digits` must have one file of weights, and has 0; its files are: none"
    assert refused(load_weights, 'digits') == says

def test_import_is_light():
    code = "import sys, dlcourse.core.pretrained; print({'torch', 'safetensors'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == 'set()'


# Fitting

def test_renamed_weights_fit_whole():
    model = net()
    report = fit_weights(model, published(), RENAME)
    assert report.whole and set(report.fitted) == set(model.state_dict())
    assert str(report) == "9 of 9 tensors of the module fit"
    torch.manual_seed(0)
    assert same(state(model), state(net()))

def test_a_function_renames_as_well():
    back = {theirs: ours for ours, theirs in NAMES.items()}
    def rename(name):
        if name == 'step': return None
        place, _, rest = name.rpartition('.')
        return f'{back[place]}.{rest}'
    assert fit_weights(net(), published(step=torch.ones(1)), rename).whole

def test_weights_of_a_type_that_the_module_cannot_hold_do_not_fit():
    weights = net().state_dict() | {'0.weight': torch.ones(3, 4)*1j, '2.bias': torch.ones(2).byte()}
    says = '8 of 9 tensors of the module fit; of another type: 0.weight is torch.complex64, wanted '
    assert says in refused(fit_weights, net(), weights)
    model = net()
    before, report = state(model), fit_weights(model, weights, partial=True)
    assert report.types == {'0.weight': (torch.complex64, torch.float32)} and not report.whole
    assert torch.equal(model[0].weight, before['0.weight']) and model[2].bias.tolist() == [1, 1]

@pytest.mark.parametrize('weights, rename, says', [
    ({3: torch.ones(2)}, None, '`weights` must map names to tensors; 3 is no name'),
    ({'a': {'b': torch.ones(2)}}, None, 'names to tensors; under a stands a dict'),
    ([torch.ones(2)], None, '`weights` must be a dict of tensors, got list'),
    ({'a': torch.ones(2)}, [('a', 'b')], '`rename` must be a dict or a function, got list'),
    ({'a': torch.ones(2)}, {'(': 'b'}, "it has '(': 'b', of which re says: missing ), untermin"),
    ({'a': torch.ones(2)}, {'a': r'\1'}, 'of which re says: invalid group reference 1'),
    ({'a': torch.ones(2)}, {'a': 3}, "it has 'a': 3, of which re says: "),
    ({'a': torch.ones(2)}, {3: 'a'}, "it has 3: 'a', of which re says: "),
    ({'a': torch.ones(2)}, lambda name: 3, 'a text, or None, for each name; a → 3'),
])
def test_what_is_no_weights_or_no_renaming_is_refused(weights, rename, says):
    assert says in refused(fit_weights, net(), weights, rename)

def test_a_model_is_a_module():
    says = '`model` must be a torch module, got dict'
    assert says in refused(fit_weights, {}, {'a': torch.ones(2)})

def test_patterns_apply_one_after_the_other_and_none_leaves_out():
    rename = {'^module.': '', **RENAME, 'step': None}
    weights = {f'module.{name}': value for name, value in published(step=torch.ones(1)).items()}
    assert fit_weights(net(), weights, rename).whole

@pytest.mark.parametrize('change, says', [
    (lambda w: w.pop('head.bias'), "8 of 9 tensors of the module fit; missing: 2.bias"),
    (lambda w: w.update(more=torch.ones(1)), "9 of 9 tensors of the module fit; unexpected: more"),
    (lambda w: w.update({'head.bias': torch.ones(5)}),
     "8 of 9 tensors of the module fit; of another shape: 2.bias is (5,), wanted (2,)")])
def test_what_does_not_fit_is_said_and_nothing_is_loaded(change, says):
    model, weights = net(), published()
    before = state(model)
    change(weights)
    message = refused(fit_weights, model, weights, RENAME)
    assert message == (f"these weights are not those of Sequential: {says}. "
                       "Map the names by `rename`, or load what fits with `partial=True`")
    assert same(state(model), before)

def test_many_that_do_not_fit_are_shortened():
    message = refused(fit_weights, net(), published())
    assert 'missing: 0.weight, 0.bias, 1.weight, 1.bias and 5 more' in message

def test_partial_loads_what_fits_and_leaves_the_rest():
    model, weights = net(out=7), published(more=torch.ones(1))
    before = state(model)
    report = fit_weights(model, weights, RENAME, partial=True)
    assert not report.whole and not report.missing and report.unexpected == ('more',)
    assert report.shapes == {'2.weight': ((2, 3), (7, 3)), '2.bias': ((2,), (7,))}
    assert torch.equal(model[2].weight, before['2.weight'])
    assert torch.equal(model[0].weight, weights['stem.dense.weight'])

def test_two_weights_of_one_name_are_refused():
    message = refused(fit_weights, net(), published(), {'^.*$': 'x'})
    assert message == "`rename` gives the name x twice, also to stem.dense.bias"

def test_weights_take_the_modules_type_and_stay_apart():
    model, weights = net().double(), published()
    fit_weights(model, weights, RENAME)
    assert model[0].weight.dtype == torch.float64
    with torch.no_grad(): model[0].weight.zero_()
    assert weights['stem.dense.weight'].abs().sum() > 0


# The real ones, where the data home has them

def real_weights(name):
    if not is_here(card(name)):
        pytest.skip(f"models/{name} is not in the data home; set DLCOURSE_DATA to one that has it")
    return load_weights(name)

class Shell(nn.Module):
    "A module whose parameters are called like somebody's weights, all of them zero"
    def __init__(self, weights):
        super().__init__()
        for name, value in weights.items():
            self.register_buffer(name.replace('.', '/'), torch.zeros_like(value))

@pytest.mark.parametrize('name, tensors', [('all-MiniLM-L6-v2', 104), ('efficientnet-lite0', 296)])
def test_real_weights_fit_a_module_of_their_shapes(name, tensors):
    weights = real_weights(name)
    assert len(weights) == tensors
    model = Shell(weights)
    assert fit_weights(model, weights, {r'\.': '/'}).whole
    for key, value in weights.items():
        assert torch.equal(model.get_buffer(key.replace('.', '/')), value)

@pytest.mark.parametrize('name, no_parameter', [
    ('all-MiniLM-L6-v2', 'position_ids'), ('efficientnet-lite0', 'running|num_batches')])
def test_real_models_have_the_parameters_of_their_cards(name, no_parameter):
    weights = real_weights(name)
    model = Shell(weights)
    report = fit_weights(model, weights, {no_parameter: None, r'\.': '/'}, partial=True)
    assert sum(model.get_buffer(key).numel() for key in report.fitted) == card(name).rows

def test_real_weights_mean_something():
    "Word pieces that mean alike lie closer than those that do not"
    weights = real_weights('all-MiniLM-L6-v2')
    words = weights['embeddings.word_embeddings.weight']
    paris, rome, seven = words[torch.tensor([3000, 4199, 2698])] # As tokenizer.json numbers them
    def near(a, b): return torch.cosine_similarity(a, b, dim=0).item()
    assert near(paris, rome) > near(paris, seven) + .1
