"""The studio: the generator in the browser.

What it makes goes through the same tasks, settings and records as the command line's. Read in this
order:

- `limits`: how much a visitor may ask for; `asking`: what was asked for, checked
- `line`: jobs that wait for the device; `workshop`: the model, and the jobs it does
- `uploads`: files from visitors; `hole`: masks; `session`: what one page holds; `studio`: all of it
- `preview`, `pages`, `curve`, `words`: what is shown, as HTML
- `tabs`, `app`: the page itself; `server`: who may reach it

Only `tabs`, `app` and `server` know Gradio.
"""
