"The table of kill rates below the tests' summary; `tests/conftest.py` imports the hook"


def pytest_terminal_summary(terminalreporter):
    "Runs in the process that reports, so under xdist too"
    rows = sorted(dict(r.user_properties)['kills'] for group in ('passed', 'failed')
                  for r in terminalreporter.stats.get(group, [])
                  if r.when == 'call' and 'kills' in dict(r.user_properties))
    if not rows: return
    terminalreporter.section('checks against mutants')
    width = max(len(row[0]) for row in rows)
    terminalreporter.write_line(f"{'exercise':{width}}  mutants  killed  equivalent  seconds")
    for name, total, killed, equivalent, seconds in rows:
        terminalreporter.write_line(f"{name:{width}}  {total:7}  "
                                    f"{killed/total if total else 1:6.1%}  {equivalent:10}  "
                                    f"{seconds:7.2f}")
    total, killed = (sum(row[i] for row in rows) for i in (1, 2))
    terminalreporter.write_line(f"{f'{len(rows)} exercises':{width}}  {total:7}  "
                                f"{killed/total if total else 1:6.1%}  "
                                f"{sum(r[3] for r in rows):10}  {sum(r[4] for r in rows):7.2f}")
