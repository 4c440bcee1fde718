"""The picture of a request's path: what it says in words, and that nothing in it is cut."""

import itertools

import pytest
from dockerlab.figures import path
from dockerlab.records import SeenRequest
from matplotlib.backends.backend_agg import FigureCanvasAgg

PASSED = {"host": "shop.example", "x-forwarded-proto": "https", "x-forwarded-for": "the client"}


def seen(name="good", *, scheme="https", client="the client", location="https://shop.example/items/", **others):
    return SeenRequest(
        name=name,
        url="https://shop.example/seen",
        passed=PASSED,
        scheme=scheme,
        client=client,
        location=location,
        **others,
    )


def shown(picture):
    return [text for axes in picture.figure.axes for text in axes.texts]


def test_in_words_it_tells_what_was_passed_and_what_was_believed():
    bad = seen("bad", scheme="http", client="the proxy", location="http://shop.example/items/")
    assert repr(path([bad])) == (
        "Path of a request. bad: the proxy passes on Host: shop.example, X-Forwarded-Proto: https, "
        "X-Forwarded-For: the client. The application believes scheme: http (wrong), client: the proxy (wrong). "
        "It redirects to http://shop.example/items/ (wrong)."
    )


def test_what_a_client_claims_is_told():
    liar = seen(client="forged", claimed={"x-forwarded-for": "forged"})
    picture = path([liar])
    assert "good: the client claims X-Forwarded-For: forged; the proxy passes on" in picture.alt
    assert "client: forged (wrong)" in picture.alt
    assert "claims X-Forwarded-For: forged" in [text.get_text() for text in shown(picture)]


@pytest.mark.parametrize(
    ("record", "crosses"),
    [
        (seen(), 0),
        (seen(scheme="http"), 1),
        (seen(client="the proxy"), 1),
        (seen(location="https://app/items/"), 1),
        (seen(location="https://shop.example:8443/items/"), 1),
        (seen(location=""), 1),
        (seen(scheme="http", client="forged", location="http://shop.example/items/"), 3),
    ],
)
def test_right_and_wrong_differ_by_their_mark(record, crosses):
    marks = [text.get_text() for text in shown(path([record])) if text.get_text() in "✓✗"]
    assert len(marks) == 3
    assert marks.count("✗") == crosses


def test_texts_are_in_the_card_and_do_not_overlap():
    long = "https://a-very-long-name-of-a-host-without-end.of-a-very-long-domain.example:8443"
    records = [
        seen(),
        SeenRequest(
            name="a name " * 30,
            url=f"{long}/seen",
            passed={"host": long.removeprefix("https://"), "x-forwarded-for": "forged, " * 9},
            scheme="http",
            client="2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            claimed={"x-forwarded-for": "forged, " * 9, "x-own": "$x$"},
            location=f"{long}/items/{'long/' * 20}",
        ),
    ]
    picture = path(records)
    renderer = FigureCanvasAgg(picture.figure).get_renderer()
    boxes = {text: text.get_window_extent(renderer) for text in shown(picture) if text.get_text()}
    width, height = picture.figure.bbox.size
    for text, box in boxes.items():
        assert 0 <= box.x0 <= box.x1 <= width, text
        assert 0 <= box.y0 <= box.y1 <= height, text
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        assert not a.overlaps(b), (one, other)
    assert any("$x$" in text.get_text() for text in boxes)


def test_each_request_has_its_row():
    one, two = (path([seen()] * number).figure.get_size_inches()[1] for number in (1, 2))
    assert two > 1.7 * one
