"""What a model is told in the course of a video: the embeddings of its captions."""

from __future__ import annotations

from starflow_v.flow.texts import Later, Part, Script, Texts
from starflow_v.pipelines.base import StarFlowVBasePipeline
from starflow_v.pipelines.prompts import latent_changes, prompts_at
from starflow_v.pipelines.request import Plan
from starflow_v.text import Task


class TellingPipeline(StarFlowVBasePipeline):
    """From a plan to texts: at the beginning, after a restart, where a prompt changes."""

    def _texts(self, plan: Plan, task: Task | None, *, frame: int = 0) -> Texts:
        """Embeddings (B, L, E) of the captions, and of the unconditional ones with guidance.

        Of prompts that change, it takes those of a pixel frame.
        """
        request = plan.request
        text, null_text = self.encode_prompt(
            None if request.prompt is None else prompts_at(request.prompt, frame),
            request.negative_prompt,
            do_classifier_free_guidance=plan.guidance.active,
            num_videos_per_prompt=request.num_videos_per_prompt,
            prompt_embeds=request.prompt_embeds,
            negative_prompt_embeds=request.negative_prompt_embeds,
            max_sequence_length=request.max_sequence_length,
            conditions=self.conditions_for(
                height=plan.height,
                width=plan.width,
                num_frames=plan.num_frames,
                frame_rate=plan.frame_rate,
                task=task,
            ),
        )
        device = self._execution_device
        return Texts(text.to(device), None if null_text is None else null_text.to(device))

    def _restart_texts(self, plan: Plan, *, frame: int = 0) -> Texts | None:
        """What the model is told from the first restart on; `None`: what it was told before.

        Embeddings that were given stand for the whole video.
        """
        tells = plan.extends and plan.window is not None and plan.request.prompt is not None
        return self._texts(plan, "extend", frame=frame) if tells and plan.task is None else None

    def _later(self, plan: Plan, *, first: int, hidden: int) -> Later | None:
        """All that is told after the beginning.

        Args:
            plan: with the prompts.
            first: the latent frame of the video that the deep block begins with.
            hidden: how many of the first pixel frames are left out; prompts do not count them.
        """
        if plan.request.prompt is None or not plan.request.retold:
            return self._restart_texts(plan)
        starts = latent_changes(
            plan.request.prompt,
            num_frames=plan.num_frames,
            hidden=hidden,
            factor=self.codec.temporal_factor,
        )
        parts: dict[int, Part] = {}
        for latent, pixel in starts.items():
            start = max(latent - first, 0) if pixel else 0
            texts = self._texts(plan, plan.task, frame=pixel) if pixel else None
            again = self._restart_texts(plan, frame=pixel)
            parts[start] = Part(start=start, texts=texts, again=again)
        return Script(tuple(parts.values()))
