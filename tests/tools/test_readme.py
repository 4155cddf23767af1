"README.md shows what its notebook shows"
import pytest
import readme
from made_up import code, image, md, text, write

LINKS = ('<img src="img/a.png"> [c](https://example.org/d.md) [e](#f) `[g](h.md)`\n\n'
         '[i]: cli/app.ipynb\n\n```\n[j](k.md)\n```')
MOVED = ('<img src="nbs/img/a.png"> [c](https://example.org/d.md) [e](#f) `[g](h.md)`\n\n'
         '[i]: nbs/cli/app.ipynb\n\n```\n[j](k.md)\n```')
PICTURE = '![A report](report.png "x") and [`a`](16_fairness/07_groups.ipynb#how), [b](../LICENSE).'


def test_the_reader_sees_what_is_to_be_seen(tmp_path):
    write(tmp_path/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'), code('#| hide\nsecret()'),
          md('#| hide\nsecret'), code('#| eval: false\n\nshown()'),
          code('#| echo: false\nsecret()', text('output\n')), md(PICTURE), md(LINKS))
    made = readme.readme(tmp_path)
    assert made.splitlines()[0].startswith('<!-- Made from nbs/index.ipynb')
    assert 'secret' not in made and '#|' not in made
    assert '```python\nshown()\n```' in made and '\n    output\n' in made
    assert '![A report](nbs/report.png "x") and [`a`](nbs/16_fairness/07_groups.ipynb#how)' in made
    assert '[b](LICENSE).' in made and MOVED in made


def test_an_image_that_a_cell_puts_out_is_refused(tmp_path):
    write(tmp_path/'nbs'/'index.ipynb', code('plot()', image()))
    with pytest.raises(ValueError, match='which README.md cannot hold; save it in nbs/'):
        readme.readme(tmp_path)


def test_the_check_tells_whether_it_is_in_step(tmp_path, capsys):
    check, make = ['--check', '--root', str(tmp_path)], ['--root', str(tmp_path)]
    assert readme.main(check) == 0 and 'there is no nbs/index.ipynb' in capsys.readouterr().out
    write(tmp_path/'nbs'/'index.ipynb', md('# Project'))
    assert readme.main(check) == 1 and not (tmp_path/'README.md').exists()
    assert readme.main(make) == 0 and readme.main(check) == 0
    write(tmp_path/'nbs'/'index.ipynb', md('# Another'))
    assert readme.main(check) == 1 and 'run `make pages`' in capsys.readouterr().out


def test_the_badge_needs_an_address(tmp_path):
    write(tmp_path/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'))
    project = tmp_path/'pyproject.toml'
    project.write_text('[project]\nname = "x"\n', encoding='utf-8')
    assert 'badge' not in readme.readme(tmp_path)
    import course
    course.addresses.cache_clear()
    project.write_text('[project]\nname = "x"\n[project.urls]\nRepository = "https://example.org/a"\n'
                       'Documentation = "https://example.org/b"\n', encoding='utf-8')
    made = readme.readme(tmp_path)
    course.addresses.cache_clear()
    assert made.index('> Sentence') < made.index(
        '[![The state of the tests](https://example.org/a/actions/workflows/test.yml/badge.svg)]')
    assert '[The web site](https://example.org/b/)' in made
