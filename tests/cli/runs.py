"The command as a user runs it"
import os
import subprocess
import sys

START = [sys.executable, '-c', 'from dlcourse.cli.app import main; main()']


def dlcourse(*words, cwd=None, **env):
    "Run the command as a user would: exit code, output, errors"
    done = subprocess.run([*START, *map(str, words)], capture_output=True, text=True, cwd=cwd,
                          env=os.environ | {'COLUMNS': '120', 'NO_COLOR': '1'} | env)
    return done.returncode, done.stdout, done.stderr
