"""The lesson's two apps with signs in a folder, so that no clock decides what a round sees

In the second round south says `training` and answers nothing until it is killed; the server ends
that round when the others have answered and the test has said `fell`, and waits until it said
`back`. All other rounds wait for everybody.
"""
import os
import time
from pathlib import Path

from dlcourse.federated.apps import server_app as usual
from dlcourse.federated.averaging import make_client
from dlcourse.federated.flower import load_flower

SIGNS, FALLS, ROUND = Path(os.environ.get('SIGNS_OF_A_TEST', '.')), 1, 2


def wait_for(sign):
    while not (SIGNS/sign).exists(): time.sleep(.1)


def fall(client, number, state):
    "South comes here twice in that round: before it is killed, and perhaps when it is back"
    if (client, number) == (FALLS, ROUND) and not (SIGNS/'training').exists():
        (SIGNS/'training').touch()
        wait_for('never')
    return state


client_app = make_client(fall)
server_app = load_flower().serverapp.ServerApp()


@server_app.main()
def main(grid, context):
    def ask(messages, *, timeout=None):
        waited, found = set(grid.push_messages(messages)), []
        while waited:
            new = list(grid.pull_messages(waited))
            waited -= {m.metadata.reply_to_message_id for m in new}
            found += new
            if len(waited) == 1 and (SIGNS/'fell').exists() and not (SIGNS/'back').exists():
                wait_for('back')
                break
            time.sleep(.1)
        return found
    grid.send_and_receive = ask
    usual(grid, context)
