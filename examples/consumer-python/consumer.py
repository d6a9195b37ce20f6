"""Takes each alert once, whatever is killed, replayed or sent again: python consumer.py kafka-1:9092"""

import json
import sqlite3
import sys

from confluent_kafka import Consumer, KafkaException

received = sqlite3.connect("received.db")
received.execute("CREATE TABLE IF NOT EXISTS received (id TEXT PRIMARY KEY, alert TEXT NOT NULL)")
consumer = Consumer({
    "bootstrap.servers": sys.argv[1], "group.id": "receiver-python", "enable.auto.commit": False,
    "isolation.level": "read_committed", "auto.offset.reset": "earliest",
})
consumer.subscribe(["alerts"])
while True:
    for message in consumer.consume(500, timeout=1):
        if message.error():
            raise KafkaException(message.error())
        alert = json.loads(message.value())  # amounts are texts: Decimal(alert["stream"]["total"]), never float
        with received:  # what must happen once happens where its row is new, in this transaction
            row = (alert["id"], message.value().decode())
            new = received.execute("INSERT OR IGNORE INTO received VALUES (?, ?)", row).rowcount
        if new:
            print("new:", alert["id"], flush=True)
    if consumer.assignment():
        consumer.commit(asynchronous=False)  # only now: what was not stored comes again
