import re
p='docs/edit.md'; s=open(p).read()
start=s.index("**What the clip shows.**"); end=s.index("## Through a mask")
new='''**What the clip shows.** An instruction names what is to change; what is to stay the model has to read from the clip. The embedded
model was trained to be told it: behind the instruction stands a caption of the clip. It need not be given, since the flow finds it
by itself, word by word: of the captions that it knows, the one under which the first, the middle and the last frame are likeliest,
and of the motions the one under which the clip is. Nothing is trained for that; an exact likelihood is all it takes. What the
model is not sure of (99 %) it is not told. Each chunk of a longer clip is described for itself.

```python
shown = pipe.describe("clip.mp4")[0]                    # "a small red circle moves left on a gray background"
same = pipe("clip.mp4", "make it green", source_prompt=shown).frames
alone = pipe("clip.mp4", "make it green", source_prompt="").frames      # told nothing but the instruction
```

```sh
starflow-v edit clip.mp4 "make it green" --source-prompt "a small red circle moves left on a gray background" -o green.mp4
```

A model of your own is told it by `data.tell_sources: true` in a run on scenes; the captions to choose from are then saved with
it, as `caption_patterns` in its `model_index.json`. Other models refuse a source prompt.

'''
s=s[:start]+new+s[end:]
open(p,'w').write(s)
p='configs/embedded_sources.yaml'; s=open(p).read()
s=s.replace('''# Edits that are told what their source shows, beside the instruction, from the embedded model's
# weights. Not a stage of the embedded model.
# Train it with: starflow-v train configs/embedded_sources.yaml
''','''# The embedded model, eleventh stage: edits are told what their source shows, beside the instruction.
# Train it with: starflow-v train configs/embedded_sources.yaml
# (after the ninth stage's third run, see the model's card: configs/embedded_kinds.yaml)
''').replace("initialize: starflow_v/assets/scenes\n","initialize: runs/embedded_kinds_third/pipeline\n").replace("edit_guidance_scale: 2.5","edit_guidance_scale: 3.5")
open(p,'w').write(s)
