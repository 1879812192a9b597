"""Every parser over real files, damaged: no crash, no hang, nothing but a report or a refusal in words; and however reads are cut.

The same seeds each time. tests/benchmarks/fuzz_parsers.py goes on where this ends, guided by coverage.
"""

from __future__ import annotations

import io
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtui_parsers.errors import ParseError
from tests.fixtures.mutations import mutated, try_parser
from tests.fixtures.outside_texts import EVERY
from tests.fixtures.report_files import PARSERS, in_pieces

MUTATIONS = 250
SLOWEST_S = 5.0


@pytest.mark.parametrize("name", EVERY)
def test_damaged_files_give_a_report_or_a_refusal(name: str) -> None:
    parser = EVERY[name]
    seeds = parser.seeds()
    dice = random.Random(name)
    answered = refused = 0
    for _ in range(MUTATIONS):
        data = mutated(dice.choice(seeds), seeds, dice)
        began = time.process_time()
        found = try_parser(parser, data)
        assert time.process_time() - began < SLOWEST_S
        answered, refused = answered + (found is not None), refused + (found is None)
    # Damage that nothing survives, or that everything does, would test little.
    assert answered > MUTATIONS / 20


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=6), seed=st.integers(0, 2**32), damaged=st.booleans())
def test_however_reads_are_cut_the_answer_is_the_same(name: str, sizes: list[int], seed: int, damaged: bool) -> None:
    parser = PARSERS[name]
    dice = random.Random(seed)
    seeds = parser.seeds()
    data = dice.choice(seeds)
    if damaged:
        data = mutated(data, seeds, dice)
    answers = []
    for stream in (io.BytesIO(data), in_pieces(data, sizes)):
        try:
            answers.append(parser.parse(stream))
        except ParseError as error:
            answers.append((error.reason, error.line))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_answered(name: str, data: bytes) -> None:
    parser = EVERY[name]
    try_parser(parser, data)
    seeds = parser.seeds()
    try_parser(parser, seeds[0][: len(seeds[0]) // 2] + data)
