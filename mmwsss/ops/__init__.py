from .threads import sleep_while_waiting

sleep_while_waiting()
