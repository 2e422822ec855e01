"""Small tokenizers of the two kinds that the families have: byte-level BPE, and converted SentencePiece BPE."""

import io
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "Count to three: one, two, three.",
    "Name a colour. Red, please!",
    "Say hi; what happened? Nothing much, then it was fine.",
    "user\n\nYou are brief.\n\nassistant\n\nHello there.\n",
    "def f(x):\n    return x + 1\n\n\n<b>bold</b> <s>old</s>",
    "Because it is so. Why? Be brief.",
]
CORPUS = [sentence.replace("three", str(number)) for number in range(30) for sentence in SENTENCES] + SENTENCES * 20
# Line breaks join each other, and blanks the word after them, as in the families' own.
WORDS = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+"

PIECES = r"▁?[^▁\n]+|▁+|\n+"


def byte_level(specials: tuple[str, ...], bos: str | None = None, plain: tuple[str, ...] = ()) -> Tokenizer:
    """Return a byte-level BPE.

    Args:
        specials: its special tokens, which follow the vocabulary.
        bos: the one of them that begins every text, if one does.
        plain: tokens that are matched as a whole and are not special.
    """
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=350, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in plain])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    return _beginning_with(tokenizer, bos)


def pieces(
    specials: tuple[str, ...], bos: str | None = None, dummy_prefix: bool = True, strip_right: tuple[str, ...] = ()
) -> Tokenizer:
    """Return a BPE with byte fallback, as SentencePiece models are converted to.

    Args:
        specials: its special tokens, which come first.
        bos: the one of them that begins every text, if one does.
        dummy_prefix: put a blank before every stretch of text between special tokens.
        strip_right: special tokens that swallow the white space after them.
    """
    unknown = "<unk>" if "<unk>" in specials else None
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=unknown, fuse_unk=True))
    prefix = [normalizers.Prepend("▁")] if dummy_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    of_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=[*specials, *of_bytes], show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.pre_tokenizer = None  # as in the families: what was never merged in training is never merged
    tokenizer = _without_added_bytes(tokenizer, specials)
    tokenizer.add_special_tokens([AddedToken(token, rstrip=True, normalized=False) for token in strip_right])
    return _beginning_with(tokenizer, bos)


def _without_added_bytes(tokenizer: Tokenizer, specials: tuple[str, ...]) -> Tokenizer:
    """Return the tokenizer with its bytes as entries of the vocabulary only, which no text can spell."""
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in specials]
    return Tokenizer.from_str(json.dumps(state))


def _beginning_with(tokenizer: Tokenizer, bos: str | None) -> Tokenizer:
    if bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return tokenizer


def train_sentencepiece(path: Path) -> None:
    """Write a model of the SentencePiece library itself, with a dummy prefix and byte fallback."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=model,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
