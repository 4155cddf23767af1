"Put lessons, cards, laws and templates into the wheel; all else stands in pyproject.toml"
import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ('nbs', 'datasets', 'assets', 'laws')


class BuildWithLessons(build_py):
    "Copy what is shipped into the package, notebooks without their outputs"

    def run(self):
        super().run()
        if self.editable_mode: return
        for source, target in self.shipped(): self.ship(source, target)

    def shipped(self):
        root = Path(__file__).resolve().parent
        for folder in SHIPPED:
            for source in sorted((root/folder).rglob('*')):
                hidden = any(p.startswith(('.', '_')) for p in source.relative_to(root).parts)
                if source.is_file() and not hidden:
                    yield source, Path(self.build_lib)/'dlcourse'/source.relative_to(root)

    def ship(self, source, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != '.ipynb': return shutil.copyfile(source, target)
        nb = json.loads(source.read_text(encoding='utf-8'))
        for cell in nb['cells']:
            if cell['cell_type'] == 'code': cell.update(outputs=[], execution_count=None)
        target.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')

    def get_outputs(self, include_bytecode=True):
        extra = [] if self.editable_mode else [str(target) for _, target in self.shipped()]
        return super().get_outputs(include_bytecode) + extra


setup(cmdclass={'build_py': BuildWithLessons})
