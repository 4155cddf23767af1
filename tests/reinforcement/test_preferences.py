"Rewards against scikit-learn and statsmodels, divergences against sampling, tuning against theory"
import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dlcourse.core.errors import InputError
from dlcourse.reinforcement import answers, choices
from dlcourse.reinforcement.answers import (
    ANSWER_WORDS,
    TablePolicy,
    compare_answers,
    divergence,
    gold_reward,
    half_taught,
    question_counts,
    spoken,
    tell,
    word_counts,
)
from dlcourse.reinforcement.choices import AnswerPair, pair_halves, read_pairs, word_table
from dlcourse.reinforcement.preferences import (
    TuningConfig,
    answer_log_probs,
    dpo_loss,
    fit_bradley_terry,
    fit_tastes,
    group_advantages,
    preference_loss,
    responsibilities,
    tune_by_scores,
    tune_directly,
)


def rng(seed=0): return torch.Generator().manual_seed(seed)


def said(text): return torch.tensor([ANSWER_WORDS.index(w) for w in text.split()])


def test_a_fit_is_scikit_learns():
    x = torch.randn(300, 5, generator=rng(), dtype=torch.float64)
    first = torch.rand(300, generator=rng(1)) < torch.sigmoid(x @ torch.arange(5.).double())
    gaps = torch.where(first[:, None], x, -x)
    theirs = LogisticRegression(C=1/.5, fit_intercept=False, tol=1e-10, max_iter=1000)
    theirs.fit(np.vstack([gaps, -gaps]), [1]*300 + [0]*300)
    ours = fit_bradley_terry(gaps, 2*torch.ones(300), ridge=.5)
    np.testing.assert_allclose(ours, theirs.coef_[0], rtol=1e-4)
    both = fit_bradley_terry(torch.stack([gaps, -gaps]), 2*torch.ones(2, 300), ridge=.5)
    torch.testing.assert_close(both, torch.stack([ours, -ours]))


def test_weights_are_repetitions():
    x = torch.randn(20, 3, generator=rng())
    twice = fit_bradley_terry(torch.cat([x, x[:5]]))
    weights = torch.ones(20)
    weights[:5] = 2
    torch.testing.assert_close(fit_bradley_terry(x, weights), twice)


@pytest.mark.parametrize('options', [dict(ridge=0.), dict(ridge=-1.)])
def test_a_fit_needs_a_ridge(options):
    with pytest.raises(InputError, match='`ridge`'): fit_bradley_terry(torch.zeros(2, 2), **options)


def test_nan_is_refused():
    with pytest.raises(InputError, match='`differences`'):
        fit_bradley_terry(torch.tensor([[math.nan]]))


def test_the_divergence_is_that_of_samples():
    reference = half_taught()
    other = TablePolicy(reference.logits + .5*torch.randn(reference.logits.shape, generator=rng()))
    tokens = other.sample(20_000, rng(1))
    with torch.no_grad():
        gap = (other.log_probs(tokens) - reference.log_probs(tokens)).sum(-1)
        exact = float(divergence(other, reference))
    assert abs(float(gap.mean()) - exact) < 5*float(gap.std())/len(gap.flatten())**.5
    assert float(divergence(reference, reference).detach()) == 0


def test_sums_of_words_are_those_of_the_policy():
    policy = half_taught().copies(2)
    tokens = policy.sample(50, rng())
    torch.testing.assert_close(answer_log_probs(policy(tokens), tokens),
                               policy.log_probs(tokens).sum(-1))


def test_utilities_by_hand():
    texts = {'four thanks .': 3., 'four .': 2., 'five .': -1., '.': 0.,
             'four four thanks please .': 2.2, 'maybe .': -.4,
             'the answer is four the answer is .': 2 - .8}
    for text, want in texts.items():
        tokens = torch.zeros(4, 1, 10, dtype=torch.int64)
        tokens[2, 0, :len(said(text))] = said(text)
        assert abs(float(gold_reward(tokens)[2, 0]) - want) < 1e-5, text
    assert tell(torch.tensor([6, 0, 5])) == 'four .'


def test_what_stands_behind_the_end_does_not_count():
    a, b = torch.tensor([4, 0, 5]), torch.tensor([4, 0, 9])
    assert torch.equal(word_counts(a), word_counts(b))
    assert spoken(a).tolist() == [True, True, False]


@pytest.mark.parametrize('bad', [torch.tensor([12]), torch.tensor([-1]), torch.tensor([1.])])
def test_what_is_no_word_is_refused(bad):
    with pytest.raises(InputError, match='`tokens`'): spoken(bad)


def test_policies_are_checked():
    with pytest.raises(InputError, match='`logits`'): TablePolicy(torch.zeros(1, 2))
    with pytest.raises(InputError, match='`copies`'): half_taught().copies(2).copies(2)


def test_features_score_as_counts_do():
    tokens = half_taught().sample(5, rng())
    features = question_counts(tokens)
    assert features.shape == (1, 4, 5, 60)
    torch.testing.assert_close(features[..., 48:], word_counts(tokens))
    assert question_counts(tokens, 1.).max() == 1


def test_choices_follow_utilities():
    chosen, rejected = compare_answers(half_taught(), 4000, rng())
    gap = gold_reward(chosen) - gold_reward(rejected)
    near = (gap.abs() - 1).abs() < 1e-4
    assert abs(float((gap[near] > 0).float().mean()) - 1/(1 + math.exp(-1))) < .03


def test_losses_meet():
    a, b = torch.randn(2, 6, generator=rng())
    zero = torch.zeros(6)
    torch.testing.assert_close(dpo_loss(a, b, zero, zero, 1.), preference_loss(a, b))
    torch.testing.assert_close(preference_loss(a, b, .5), preference_loss(b, a, .5))
    assert group_advantages(torch.ones(3, 4)).abs().max() == 0
    assert responsibilities(torch.zeros(2, 3), torch.tensor([.2, .3, .5]))[0, 2] == .5


@pytest.mark.parametrize('options', [dict(method='ppo'), dict(method='grpo'),
                                     dict(method='grpo', price_in='score')])
def test_tuning_raises_the_score_and_keeps_the_budget(options):
    reference = half_taught()
    config = TuningConfig(steps=60, group=16, beta=.5, **options)
    policy, kept = tune_by_scores(reference, gold_reward, config, members=2,
                                  budgets=torch.tensor([2., 2.]),
                                  watch=lambda p, t, s: float(s.mean()))
    far = divergence(policy, reference).detach()
    assert kept[-1] > kept[0] + .3 and (far < 4).all()


def test_members_do_not_touch_each_other():
    reference, pairs = half_taught(), compare_answers(half_taught().copies(2), 30, rng())
    both = tune_directly(reference, *pairs, torch.tensor([.2, .4]), steps=8)
    alone = tune_directly(reference, pairs[0][1:], pairs[1][1:], torch.tensor([.4]), steps=8)
    torch.testing.assert_close(both.logits[1:], alone.logits, atol=1e-4, rtol=1e-4)


def test_direct_tuning_explains_the_choices():
    reference, pairs = half_taught(), compare_answers(half_taught(), 200, rng())
    policy = tune_directly(reference, *pairs, torch.tensor([.2]), steps=60)
    with torch.no_grad():
        loss = dpo_loss(*(p.log_probs(t).sum(-1) for p in (policy, reference) for t in pairs), .2)
    assert loss < .55


@pytest.mark.parametrize('name, value', [
    ('method', 'dpo'), ('price_in', 'air'), ('steps', 0), ('group', 1), ('epochs', 0), ('lr', 0.),
    ('clip', -1.), ('beta', -.1), ('value_lr', 0.), ('patience', 0.)])
def test_settings_are_checked(name, value):
    with pytest.raises(InputError, match=f'`{name}`'): TuningConfig(**{name: value})


@pytest.mark.parametrize('score', [lambda t: t[..., 0]*math.nan, lambda t: t.float().sum()])
def test_scores_are_checked(score):
    with pytest.raises(InputError, match='`score`'):
        tune_by_scores(half_taught(), score, TuningConfig(steps=1), members=1)


def test_prices_are_checked():
    pairs = compare_answers(half_taught(), 2, rng())
    for beta in (torch.tensor([.1, .1]), torch.tensor([0.])):
        with pytest.raises(InputError, match='`beta`'): tune_directly(half_taught(), *pairs, beta)


def test_two_tastes_are_found():
    tastes = torch.tensor([[2., 0, 1], [-2., 1, 0]])
    kind = torch.arange(20) % 2
    x = torch.randn(20, 40, 3, generator=rng())
    first = torch.rand(20, 40, generator=rng(1)) < torch.sigmoid((x*tastes[kind][:, None]).sum(-1))
    theta, own = fit_tastes(torch.where(first[..., None], x, -x))
    found = own.argmax(1)
    assert ((found == kind).float().mean() - .5).abs() == .5
    close = theta[found[:2]].float()
    assert (close - tastes).abs().max() < .7
    with pytest.raises(InputError, match='`groups`'): fit_tastes(x, 21)


PAIRS = [AnswerPair(f'q{k//2}', 'please ' * (k % 3) + 'yes', 'no stupid') for k in range(40)]


def test_a_question_stands_on_one_side():
    known, held = pair_halves(PAIRS, share=.4)
    assert len(known) + len(held) == 40 and known and held
    assert not {p.question for p in known} & {p.question for p in held}
    assert sorted(pair_halves(PAIRS[::-1], share=.4)[1]) == sorted(held)
    with pytest.raises(InputError, match='`share`'): pair_halves(PAIRS, share=1.)


def test_words_are_counted():
    table, other = word_table(PAIRS, [AnswerPair('q', 'yes yes new', 'no')])
    assert table.shape == (40, 4) and other.tolist() == [[-1, 0, 0, 2]]


def test_features_of_answers():
    vectors = np.zeros((2, 384), np.float32)
    found = choices.answer_features(['Please, yes', 'please YES!'], vectors)
    torch.testing.assert_close(found[0], found[1])
    assert abs(float(found[0, -1]) - math.log(12)) < 1e-6
    with pytest.raises(InputError, match='`answers`'): choices.answer_features('one text')


def test_pairs_are_read(tmp_path):
    path = tmp_path/'pairs.json'
    class File: path = 'pairs.json'
    class Card: name, files = 'pairs', [File]
    rows = [dict(instruction='a', input='b', chosen='x', rejected='y'),
            dict(instruction='a', input='', chosen='x', rejected='x')]
    path.write_text(json.dumps(rows), 'utf-8')
    assert read_pairs(Card, {'pairs.json': path}) == [AnswerPair('a\nb', 'x', 'y')]
    path.write_text(json.dumps([dict(instruction='a', chosen='x')]), 'utf-8')
    with pytest.raises(InputError, match='rejected'): read_pairs(Card, {'pairs.json': path})


def test_a_scorer_learns_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(choices, 'real_pairs', lambda home=None: PAIRS)
    monkeypatch.setattr(choices, 'embed_sentences',
                        lambda texts: np.zeros((len(texts), 384), np.float32))
    state = torch.get_rng_state()
    model, card = choices.preference_scorer(tmp_path)
    again, _ = choices.preference_scorer(tmp_path)
    assert torch.equal(state, torch.get_rng_state())
    assert (model.margins(PAIRS) > 0).all() and 'Right for' in card.results[0].claim
    torch.testing.assert_close(again.linear.weight, model.linear.weight)
    with pytest.raises(InputError, match='`pairs` must hold'): choices.fit_scorer([])


def test_every_word_can_be_said():
    assert len(ANSWER_WORDS) == len(set(ANSWER_WORDS)) == 12
    assert answers.MOST_SPOKEN == half_taught().sample(3, rng()).shape[-1]


@pytest.mark.parametrize(('beta', 'budgets'), [(0., [.1, .1]), (.1, [.1, 0.]), (.1, [.1])])
def test_budgets_need_a_price_and_one_a_member(beta, budgets):
    with pytest.raises(InputError, match='`budgets`'):
        tune_by_scores(half_taught(), gold_reward, TuningConfig(steps=1, beta=beta), members=2,
                       budgets=torch.tensor(budgets))


@pytest.mark.parametrize('score', [lambda t: gold_reward(t).double(),
                                   lambda t: gold_reward(t).numpy(),
                                   lambda t: gold_reward(t).requires_grad_()])
def test_scores_of_any_kind_teach_the_same(score):
    config = TuningConfig(steps=3)
    found, want = (tune_by_scores(half_taught(), s, config, members=2)[0].logits
                   for s in (score, gold_reward))
    torch.testing.assert_close(found, want)


def test_a_policy_may_forbid_a_word():
    policy = half_taught()
    logits = policy.logits.detach().clone()
    logits[..., 8] = -math.inf
    without = TablePolicy(logits)
    assert divergence(without, without).item() == 0
    assert 0 < divergence(without, policy).item() < math.inf
    assert divergence(policy, without).item() == math.inf
    with pytest.raises(InputError, match='`logits`'): TablePolicy(logits*math.nan)


@pytest.mark.parametrize('call', [
    lambda p: word_counts(torch.tensor([[99, 0]])), lambda p: tell(torch.tensor([[1, 0], [2, 0]])),
    lambda p: p.log_probs(torch.full((1, 4, 1, 3), 50))])
def test_no_words_are_refused_before_they_are_looked_up(call):
    with pytest.raises(InputError, match='`tokens`'): call(half_taught())


def test_answers_may_be_short_whole_numbers_or_lists():
    assert word_counts(torch.tensor([[1, 0]], dtype=torch.int32)).sum() == 2
    assert spoken([1, 2]).all()
    with pytest.raises(InputError, match='`count`'): half_taught().sample(-1, rng())


GAPS = torch.randn(2, 6, 3, generator=rng())

@pytest.mark.parametrize(('name', 'call'), [
    ('starts', lambda: fit_tastes(GAPS, starts=0)), ('steps', lambda: fit_tastes(GAPS, steps=0)),
    ('steps', lambda: fit_bradley_terry(GAPS, steps=-1)),
    ('weights', lambda: fit_bradley_terry(GAPS, torch.full((2, 6), math.nan)))])
def test_fits_without_a_step_or_a_weight_are_refused(name, call):
    with pytest.raises(InputError, match=f'`{name}`'): call()


def test_direct_tuning_looks_at_its_pairs():
    policy = half_taught()
    chosen, rejected = compare_answers(policy.copies(2), 5, rng())
    tune_directly(policy, chosen, rejected, [.1, 1.], steps=1)
    with pytest.raises(InputError, match='`steps`'):
        tune_directly(policy, chosen, rejected, torch.tensor([.1, 1.]), steps=-3)
    with pytest.raises(InputError, match='`rejected`'):
        tune_directly(policy, chosen, rejected[:, :1], torch.tensor([.1, 1.]))
