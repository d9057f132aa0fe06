"""What a pretraining is: its recipe, and what in it does not go together."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from isogloss.core.config import Record, Refused
from isogloss.core.errors import RecipeError
from isogloss.core.languages import language
from isogloss.data.batches import TextObjective
from isogloss.data.clones import ClonesSpec
from isogloss.data.masking import Masking
from isogloss.data.mixture import MixtureSpec
from isogloss.data.schedule import Annealed, Schedule
from isogloss.methods.alignment import AlignmentRule
from isogloss.methods.mixing import planned
from isogloss.methods.perplexity import PerplexityRule
from isogloss.methods.pretrain_vocabulary import TokenizersSpec, VocabularySpec
from isogloss.methods.records import ByLanguage, LanguageSparseRule
from isogloss.models.architecture import Architecture, FamilyName
from isogloss.models.families import family_of
from isogloss.training.plan import TrainingPlan

FAMILY_NAMES: tuple[str, ...] = get_args(FamilyName)


class PretrainRecipe(Record):
    """Pretrain a language model, or go on pretraining one.

    Attributes:
        model: folder or Hub id to go on from; None when `architecture` begins anew.
        architecture: the sizes of a new model; None when `model` is given.
        tokenizer: folder or Hub id of a tokenizer for the new model, or {of: {eng: FOLDER, fra: FOLDER},
            across: anchored} for one of each language; None trains one by `vocabulary`.
        vocabulary: kind, size and shares of a new vocabulary, trained on `corpora`.
        corpora: text to learn from, by language.
        clones: further languages with the text of one of `corpora` and pieces of their own; they have shares
            in the mixture and may stand in `dev` and `test`. None makes none.
        mixture: how much of each language.
        schedule: how that changes during training; None for a mixture that stays. Instead of `mixture`.
        objective: "masked" or "causal".
        masking: what a masked model has to guess; not read for causal ones.
        length: tokens of a training sequence, special ones included.
        training: how long and how fast.
        sparse: go on from `model` sparsely, and leave the delta of these languages (LT-SFT); None trains all.
        used_rows_only: go on from `model` with the rows of its vocabulary that the text uses, and put
            the others back as they were: less memory, faster steps. Losses are then over the rows in use.
        dev: held-out text by language; chooses the checkpoint by its loss. Empty keeps the last.
        test: text by language for perplexity and bits per byte at the end.
        test_limit: lines of each test text to read; not looked at with `perplexity`.
        perplexity: score the whole test texts instead of document by document: a causal model by sliding
            windows, as published; a masked one by the loss of its training, as `masked_perplexity`.
        alignment: how far the languages are aligned inside the model at the end; None measures nothing.
        as_name: what the scores call the model in tables.
        name: of the run folder; None makes one.
        seed: of everything random.
    """

    method: Literal["pretrain"] = "pretrain"
    model: str | None = None
    architecture: Architecture | None = None
    tokenizer: str | TokenizersSpec | None = None
    vocabulary: VocabularySpec | None = None
    corpora: ByLanguage = Field(min_length=1)
    clones: ClonesSpec | None = None
    mixture: MixtureSpec = MixtureSpec()
    schedule: Schedule | None = None
    objective: TextObjective = "masked"
    masking: Masking = Masking()
    length: int = Field(default=128, ge=8)
    training: TrainingPlan = TrainingPlan(steps=10_000, learning_rate=5e-4)
    sparse: LanguageSparseRule | None = None
    used_rows_only: bool = False
    dev: ByLanguage = Field(default_factory=dict)
    test: ByLanguage = Field(default_factory=dict)
    test_limit: int = Field(default=500, ge=1)
    perplexity: PerplexityRule | None = None
    alignment: AlignmentRule | None = None
    as_name: str = "model"
    name: str | None = None
    seed: int = 0

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the mixture, each clone right after its original."""
        clones = {} if self.clones is None else {self.clones.of: self.clones.languages}
        return tuple(tag for corpus in self.corpora for tag in clones.get(corpus, (corpus,)))

    @model_validator(mode="after")
    def _goes_together(self) -> PretrainRecipe:
        _check_beginning(self)
        _check_vocabulary(self)
        if self.clones is not None:
            _check_clones(self, self.clones)
        _check_mixture(self)
        _refuse_other_direction(self.architecture, self.objective)
        if self.perplexity is not None:
            _check_perplexity(self, self.perplexity)
        if self.alignment is not None:
            _check_alignment(self, self.alignment)
        longest = self.architecture.max_length if self.architecture else self.length
        if self.length > longest:
            raise ValueError(f"length: {self.length} tokens are more than architecture.max_length, {longest}")
        return self


def _check_beginning(recipe: PretrainRecipe) -> None:
    if (recipe.model is None) == (recipe.architecture is None):
        raise ValueError("model, architecture: give exactly one: a model to go on from, or new sizes")
    if recipe.model is None and recipe.sparse is not None:
        raise ValueError("sparse, model: a delta is what changed in a model; give the model to go on from")
    if recipe.model is None and recipe.used_rows_only:
        raise ValueError("used_rows_only, model: a new model has a vocabulary of its corpora already")


def _check_vocabulary(recipe: PretrainRecipe) -> None:
    if recipe.model is not None and (recipe.tokenizer or recipe.vocabulary):
        raise ValueError("tokenizer, vocabulary: a model to go on from brings its own; leave both out")
    if recipe.architecture is not None and (recipe.tokenizer is None) == (recipe.vocabulary is None):
        raise ValueError("tokenizer, vocabulary: a new model needs exactly one of the two")
    shares = recipe.vocabulary.shares if recipe.vocabulary else None
    if shares and (without := [tag for tag in recipe.corpora if tag not in shares]):
        raise ValueError(f"vocabulary.shares: none for {without[0]}, which has a corpus; give it one, or 0")
    own = recipe.tokenizer.of if isinstance(recipe.tokenizer, TokenizersSpec) else recipe.corpora
    if without := [tag for tag in recipe.corpora if tag not in own]:
        raise ValueError(f"tokenizer.of: none for {without[0]}, which has a corpus; give it one")


def _check_alignment(recipe: PretrainRecipe, rule: AlignmentRule) -> None:
    clones = recipe.clones.languages[1:] if recipe.clones and recipe.clones.of in rule.text else ()
    if len({*rule.text, *clones}) < 2:
        raise ValueError("alignment.text: one language alone; give the same text in a second one")


def _check_clones(recipe: PretrainRecipe, clones: ClonesSpec) -> None:
    if clones.of not in recipe.corpora:
        raise ValueError(f"clones.of: {clones.of} has no corpus; name one of {', '.join(recipe.corpora)}")
    if recipe.sparse is not None or recipe.used_rows_only:
        raise ValueError("clones: not with sparse or used_rows_only, which count the rows of plain text")
    if (
        isinstance(recipe.tokenizer, TokenizersSpec)
        or getattr(recipe.vocabulary, "across", "joint") != "joint"
    ):
        raise ValueError("clones: not with vocabularies of each language, `disjoint` or `anchored`")
    if made := [tag for tag in recipe.corpora if language(tag).number > 1]:
        raise ValueError(f"corpora.{made[0]}: a clone reads the text of {clones.of}; leave its corpus out")
    known = {*recipe.corpora, *clones.languages}
    for key in ("dev", "test"):
        if strange := [tag for tag in getattr(recipe, key) if language(tag).number > 1 and tag not in known]:
            raise ValueError(f"{key}.{strange[0]}: no such clone; there are {', '.join(clones.languages)}")


def _check_perplexity(recipe: PretrainRecipe, rule: PerplexityRule) -> None:
    if not recipe.test:
        raise ValueError("perplexity: there is no `test` text to score")
    if recipe.objective != "causal" and rule != PerplexityRule():
        raise ValueError("perplexity: masked models have no windows; write `perplexity: {}`")
    bounded = recipe.architecture is not None and recipe.objective == "causal"
    if recipe.architecture and bounded and rule.window > recipe.architecture.max_length:
        raise ValueError(
            f"perplexity.window: {rule.window} tokens are more than architecture.max_length, "
            f"{recipe.architecture.max_length}"
        )


def _check_mixture(recipe: PretrainRecipe) -> None:
    """Whatever can be known of shares without text; of a schedule nothing without its steps."""
    schedule, steps = recipe.schedule, recipe.training.steps
    if schedule is not None and recipe.mixture != MixtureSpec():
        raise ValueError(
            "mixture, schedule: give one of the two; a schedule says what is drawn when "
            "(`--set mixture={}` takes the mixture of a recipe away)"
        )
    if isinstance(schedule, Annealed):
        if strange := [tag for tag in schedule.enters if tag not in recipe.languages]:
            raise ValueError(f"schedule.enters.{strange[0]}: no such language is learnt; give it a corpus")
    if schedule is not None and steps is None:
        return
    try:
        planned(recipe.mixture, schedule, recipe.languages, steps or 1)
    except RecipeError as error:
        raise Refused(error, key="mixture" if schedule is None else "schedule") from error


def _refuse_other_direction(architecture: Architecture | None, objective: TextObjective) -> None:
    kinds = {"masked": "encoder", "causal": "decoder"}
    if architecture is not None and family_of(architecture.family).kind != kinds[objective]:
        fitting = ", ".join(name for name in FAMILY_NAMES if family_of(name).kind == kinds[objective])
        raise ValueError(
            f"objective, architecture: {objective} needs a family that reads "
            f"{'both ways' if objective == 'masked' else 'from left to right'} ({fitting}); "
            f"{architecture.family} does not"
        )
