"Remove what PyTorch's wheel brings for its own tests: 135 MB that nothing here ever runs"
import shutil
import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_path('purelib'))
NEEDED = 'torch_shm_manager' # By tensors that processes share


def slim(
    packages:Path=PACKAGES, # Folder of installed packages
)->int:                     # Bytes that were removed
    "Remove the compiled tests of PyTorch, and the compiler of messages that they were built with"
    torch = packages/'torch'
    compiled = [p for p in torch.glob('bin/*') if p.name != NEEDED]
    gone = 0
    for path in filter(Path.exists, [torch/'test', *compiled]):
        files = [p for p in (path, *path.rglob('*')) if p.is_file() and not p.is_symlink()]
        gone += sum(p.stat().st_size for p in files)
        if path.is_dir(): shutil.rmtree(path)
        else: path.unlink()
    return gone


if __name__ == '__main__': print(f"{slim()/1e6:.0f} MB of PyTorch's own tests removed")
