"""The committed lessons can be read in JupyterLab, in its light theme and in its dark one. No cell is run."""

import shutil

import pytest
from browser.reader import LESSON_SECONDS, Reader, figures_of
from execute import lessons, read
from rules import code_cells

THEMES = ("JupyterLab Light", "JupyterLab Dark")
CONTRAST = 4.5
"""Of ink to ground: level AA of the Web Content Accessibility Guidelines 2.2 for text of common size."""

ALL_IS_SHOWN = """
figures => {
    const shown = what => window.lesson.node.querySelectorAll(what).length;
    const outputs = [...window.lesson.content.model.cells].map(cell => cell.outputs?.length ?? 0);
    return shown('.jp-OutputArea-output') === outputs.reduce((a, b) => a + b)
        && shown('.jp-RenderedImage img') === figures;
}
"""

TEXTS = """
() => {
    const parsed = text => {
        const numbers = text.match(/[\\d.]+/g).map(Number);
        return {rgb: numbers.slice(0, 3), alpha: numbers[3] ?? 1};
    };
    const over = (top, ground) => top.rgb.map((value, i) => value * top.alpha + ground[i] * (1 - top.alpha));
    const groundOf = element => {
        if (!element) return [255, 255, 255];
        const own = parsed(getComputedStyle(element).backgroundColor);
        return own.alpha === 1 ? own.rgb : over(own, groundOf(element.parentElement));
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const area of window.lesson.node.querySelectorAll('.jp-OutputArea-output, .jp-MarkdownOutput')) {
        const walk = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const element = walk.currentNode.parentElement;
            // The colors of code in prose are the theme's own.
            const isCode = area.matches('.jp-MarkdownOutput') && element.closest('pre');
            if (!walk.currentNode.data.trim() || isCode || !element.getClientRects().length) continue;
            const ground = groundOf(element);
            const ink = over(parsed(getComputedStyle(element).color), ground);
            const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
            found.push({text: walk.currentNode.data, contrast: (light + 0.05) / (dark + 0.05)});
        }
    }
    return found;
}
"""

FIGURES = """
async () => Promise.all([...window.lesson.node.querySelectorAll('.jp-RenderedImage img')].map(async image => {
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const opacity = pixels.reduce((least, value, i) => i % 4 === 3 ? Math.min(least, value) : least, 255);
    return {opacity, filter: getComputedStyle(image).filter, wider: image.width > image.parentElement.clientWidth};
}))
"""


@pytest.mark.browser
@pytest.mark.timeout(LESSON_SECONDS + 100)
def test_lessons_are_readable_in_the_light_and_in_the_dark_theme(browser, jupyterlab):
    """Texts stand out from their ground. A figure brings its own ground, which no theme shines through or changes."""
    reader = Reader(browser.pages[0], jupyterlab)
    page = reader.page
    texts = 0
    for lesson in lessons():
        shutil.copyfile(lesson, jupyterlab.folder / lesson.name)  # in the place of the reader's copy
        reader.open(lesson.name)
        figures = figures_of(code_cells(read(lesson)))
        for theme in THEMES:
            reader.command("apputils:change-theme", theme=theme)
            page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
            page.wait_for_function(ALL_IS_SHOWN, arg=figures, timeout=60_000)
            found = page.evaluate(TEXTS)
            faint = [text for text in found if text["contrast"] < CONTRAST]
            assert not faint, f"{lesson.stem}, {theme}: {faint}"
            for figure in page.evaluate(FIGURES):
                assert figure == {"opacity": 255, "filter": "none", "wider": False}, f"{lesson.stem}, {theme}"
            texts += len(found)
            reader.sees_all(figures)
        assert not reader.violations(), lesson.stem
        assert not reader.broken_links(), lesson.stem
    assert texts > 1000
