"Texts to atoms, batches with empty graphs, skeletons on one side"
import numpy as np
import pytest
import torch

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError

pytest.importorskip('rdkit')
from dlcourse.graphs.molecules import (  # noqa: E402
    Molecules,
    descriptors,
    fingerprints,
    in_one,
    molecule,
    scaffold,
    scaffold_split,
)

BENZENES = ['c1ccccc1', 'Cc1ccccc1', 'CCc1ccccc1', 'Oc1ccccc1']


def test_atoms_and_bonds_of_ethanol_and_of_benzene():
    ethanol = molecule(' CCO ')
    assert ethanol.edges.tolist() == [[0, 1, 1, 2], [1, 2, 0, 1]] and ethanol.n == 1
    assert ethanol.x[:, 0].tolist() == [1, 1, 0] and ethanol.x[:, 2].tolist() == [0, 0, 1]
    benzene = molecule('c1ccccc1')
    assert benzene.edges.shape == (2, 12)
    assert benzene.bonds.argmax(1).eq(3).all() and benzene.bonds.sum(1).eq(1).all()


def test_a_single_atom_is_a_molecule_without_bonds():
    lone = molecule('C')
    assert (lone.edges.shape, lone.bonds.shape) == ((2, 0), (0, 4)) and len(lone.x) == 1
    assert scaffold('C') == ''


@pytest.mark.parametrize('text', ['', 'CC(O', 'C1CC', 'hello', 'C(C)(C)(C)(C)C', '[Xx]'])
def test_texts_that_are_no_molecule_are_shown(text):
    with pytest.raises(InputError, match='`smiles` must be a molecule such as CCO, got'):
        molecule(text)
    with pytest.raises(InputError, match='`smiles`'): fingerprints(['C', text])


def test_no_text_at_all_is_refused():
    for bad in (None, 3, b'CCO'):
        with pytest.raises(InputError, match='`smiles` must be a text'): molecule(bad)


def test_a_batch_keeps_the_place_of_a_graph_without_atoms():
    a = molecule('CO')
    empty = Molecules(a.x[:0], a.edges[:, :0], a.bonds[:0], a.graph[:0], 1)
    batch = in_one([empty, a, empty, a, empty])
    assert batch.n == 5 and batch.graph.tolist() == [1, 1, 3, 3]
    assert batch.edges.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    twice = in_one([batch, batch])
    assert twice.n == 10 and twice.graph.tolist() == [1, 1, 3, 3, 6, 6, 8, 8]
    assert in_one([empty]).x.shape == (0, a.x.shape[1])
    with pytest.raises(InputError, match='`graphs` must hold a graph'): in_one([])


def test_spelling_does_not_matter():
    assert (fingerprints(['OCC']) == fingerprints(['CCO'])).all()
    np.testing.assert_allclose(*descriptors(['OCC', 'CCO']), rtol=1e-9)
    assert scaffold('Cc1ccccc1') == scaffold('c1ccccc1CC') == 'c1ccccc1'


def test_no_skeleton_is_on_two_sides():
    rings = [f'C1{"C"*k}1' for k in range(2, 31)]
    for seed in range(3):
        parts = scaffold_split(BENZENES + rings, seed, .2)
        rows = torch.cat([torch.as_tensor(p) for p in parts])
        assert sorted(rows.tolist()) == list(range(33)) and all(len(p) for p in parts)
        sides = {scaffold((BENZENES + rings)[r]): [] for r in rows.tolist()}
        for k, part in enumerate(parts):
            for r in part: sides[scaffold((BENZENES + rings)[r])].append(k)
        assert all(len(set(s)) == 1 for s in sides.values())


@pytest.mark.skipif(not is_here(card('esol'), None), reason="ESOL is not here")
def test_every_molecule_of_esol_can_be_read():
    smiles = load('esol')['smiles'].to_list()
    assert sum(len(molecule(s).x) for s in smiles) > 13*1000


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: fingerprints('CCO'), '`smiles` must be a list'),
    (lambda: descriptors('CCO'), '`smiles` must be a list'),
    (lambda: scaffold_split('CCO'), '`smiles` must be a list'),
    (lambda: scaffold_split(BENZENES, share=.6), '`share`'),
    (lambda: scaffold_split(BENZENES, share=True), '`share`'),
    (lambda: fingerprints(BENZENES, bits=0), '`bits`'),
    (lambda: fingerprints(BENZENES, radius=-1), '`radius`'),
    (lambda: molecule('C\ud800'), '`smiles`'),
])
def test_what_is_no_list_of_molecules_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_hydrogen_has_no_aromatic_atoms():
    assert descriptors(['[H][H]'])[0, -1] == 0
