"""A prediction as a notebook shows it: to choose from where a kernel listens, elsewhere a question to read."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from .claim import Claim

WIDGET = "application/vnd.jupyter.widget-view+json"


class Question:
    """A claim's question. JupyterLab shows it with options to choose from, the chosen one kept.

    Where a notebook is read and not run, it is the question with its options, and the answer folded.

    Args:
        claim: the claim, with a question.
        chosen: the option that was chosen earlier, or "".
        choose: is called with the option that the reader chooses.
    """

    def __init__(self, claim: Claim, chosen: str, choose: Callable[[str], None]) -> None:
        self.claim = claim
        self.chosen = chosen
        self._choose = choose

    def __repr__(self) -> str:
        options = [f"  {self.claim.letter(text)}) {text}" for text in self.claim.options]
        return "\n".join([f"Predict: {self.claim.question}", *options])

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in self.claim.options)
        answer = self.claim.answer(self.claim.outcome)
        return (
            f"<p><strong>Predict.</strong> {html.escape(self.claim.question)}</p>"
            f'<ol type="a">{items}</ol>'
            f"<details><summary>The answer</summary>{self.claim.letter(answer)}) {html.escape(answer)}</details>"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_()}
        view = self._widget()._repr_mimebundle_()
        return bundle | ({WIDGET: view[WIDGET]} if view and WIDGET in view else {})

    def _widget(self) -> Any:
        import ipywidgets  # type: ignore[import-untyped]  # takes a moment to load, and only notebooks need it

        question = ipywidgets.HTML(f"<strong>Predict.</strong> {html.escape(self.claim.question)}")
        buttons = [
            ipywidgets.Button(
                layout=ipywidgets.Layout(width="auto", height="auto", min_height="32px", margin="3px 0"),
                style=ipywidgets.ButtonStyle(text_color="var(--jp-ui-font-color1)"),
            )
            for _ in self.claim.options
        ]
        kept = ipywidgets.HTML()

        def show() -> None:
            for button, text in zip(buttons, self.claim.options, strict=True):
                is_chosen = text == self.chosen
                button.description = f"{'●' if is_chosen else '○'} {self.claim.letter(text)})  {text}"
                button.style.font_weight = "bold" if is_chosen else "normal"
            said = f"You predict {self.claim.letter(self.chosen)}." if self.chosen in self.claim.options else ""
            kept.value = f'<span role="status">{said or "Choose one, then run the next cell."}</span>'

        def clicked(button: Any) -> None:
            self.chosen = list(self.claim.options)[buttons.index(button)]
            self._choose(self.chosen)
            show()

        for button in buttons:
            button.add_class("dockerlab-option")
            button.on_click(clicked)
        show()
        style = ipywidgets.HTML(
            "<style>.dockerlab-option.jupyter-button { text-align: left; white-space: normal; line-height: 1.4; "
            "padding: 5px 12px; } .dockerlab-option.jupyter-button:focus-visible "
            "{ outline: 2px solid var(--jp-brand-color1); }</style>"
        )
        return ipywidgets.VBox([style, question, *buttons, kept])
