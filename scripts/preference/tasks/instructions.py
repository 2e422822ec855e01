"""Built-in instructions: a small artificial English in which the same prompt has short and long good answers.

A model that is trained on it from scratch learns the tasks within a minute, and its samples for one prompt differ in
length: an answer is terse or chatty by the toss of a coin. That is what preferences for length need.
"""

import math
from collections import Counter
from itertools import product

from preference.running.stage import InputError

PEOPLE = ("Anna", "Ben", "Clara", "David", "Ella", "Felix", "Grace", "Henry", "Julia", "Leo", "Mia", "Tom")
PLACES = ("beach", "park", "market", "museum", "forest", "lake", "garden", "village")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ADJECTIVES: tuple[str, ...] = ("big", "small", "red", "blue", "green", "white", "black", "warm", "cold", "soft", "new")
ADJECTIVES += ("tiny", "dark", "shiny", "heavy", "quiet")
NOUNS: tuple[str, ...] = ("boat", "house", "table", "chair", "lamp", "door", "book", "clock", "shoe", "coat", "hat")
NOUNS += ("box", "bridge", "tower", "train", "bike", "bell", "kite", "stone", "ring", "mirror", "pillow", "cup", "key")
LISTS = {
    "fruits": ("apples", "pears", "plums", "grapes", "lemons", "melons", "cherries", "peaches"),
    "animals": ("dogs", "cats", "horses", "cows", "sheep", "goats", "ducks", "foxes"),
    "colors": ("red", "blue", "green", "yellow", "white", "black", "brown", "pink"),
    "drinks": ("water", "tea", "milk", "coffee", "juice", "cider", "soda", "cocoa"),
    "tools": ("hammers", "saws", "drills", "nails", "ropes", "knives", "rulers", "ladders"),
    "sports": ("tennis", "football", "rowing", "running", "skating", "golf", "boxing", "chess"),
    "meals": ("soup", "bread", "rice", "pasta", "salad", "fish", "pie", "eggs"),
    "jobs": ("baker", "farmer", "doctor", "teacher", "driver", "painter", "nurse", "pilot"),
}
# animal: food, home, skill
ANIMALS = {
    "horse": ("grass", "farm", "run"),
    "cow": ("grass", "farm", "walk"),
    "fox": ("mice", "forest", "run"),
    "owl": ("mice", "forest", "fly"),
    "duck": ("bread", "lake", "swim"),
    "frog": ("flies", "lake", "jump"),
    "bee": ("honey", "garden", "fly"),
    "cat": ("fish", "house", "jump"),
    "dog": ("meat", "house", "run"),
    "goat": ("leaves", "village", "jump"),
    "seal": ("fish", "beach", "swim"),
    "bear": ("honey", "forest", "walk"),
}
OPENINGS = (
    "Sure, here you go:",
    "Of course!",
    "That is a good question.",
    "Here is my answer for you:",
    "Yes, I am very happy to help you with that.",
)
CLOSINGS = (
    "I hope this helps!",
    "Please let me know if you want more.",
    "Is there anything else that I can do for you?",
    "Have a very nice day!",
)


def generate(num: int, rng, answer_words: float | None = None) -> list[dict]:
    """Rows (prompt, response) with distinct prompts, the kinds of instruction in equal shares while they last.

    Args:
        answer_words: where it is given, the rows are chosen for the length of their answers instead, see `near`.

    Raises:
        InputError: there are fewer than num prompts.
    """
    if num > available():
        raise InputError(f"built_in: {num} prompts were asked for, and there are {available()}")
    pools = [[(prompt, answer, slots) for prompt, slots in prompts()] for prompts, answer in KINDS.values()]
    for pool in pools:
        rng.shuffle(pool)
    longest = max(map(len, pools))
    in_turn = [pool[i] for i in range(longest) for pool in pools if i < len(pool)]
    if answer_words is None:
        in_turn = in_turn[:num]
    rng.shuffle(in_turn)
    rows = [{"prompt": prompt, "response": _answered(answer, slots, rng)} for prompt, answer, slots in in_turn]
    return rows if answer_words is None else near(rows, num, answer_words, rng)


def near(rows: list[dict], num: int, words: float, rng) -> list[dict]:
    """Draw num rows whose answers have about so many words: their lengths are a bell with a standard deviation of 2/7.

    Answers of every length are then drawn, and short ones are rare, as they are of people's. Weighted draws without
    replacement after Efraimidis and Spirakis 2006: the largest of u^(1 / weight).
    """
    lengths = [len(row["response"].split()) for row in rows]
    there = Counter(lengths)
    common = {length: (there[length - 1] + there[length] + there[length + 1]) / 3 for length in there}

    def key(i: int) -> float:
        weight = math.exp(-(((lengths[i] - words) / (2 / 7 * words)) ** 2) / 2) / common[lengths[i]]
        return math.log(1 - rng.random()) / max(weight, 1e-300)

    keys = [key(i) for i in range(len(rows))]
    drawn = sorted(range(len(rows)), key=keys.__getitem__, reverse=True)[:num]
    return [rows[i] for i in sorted(drawn)]  # in their old order: the first that are drawn are of the rarer lengths


def available() -> int:
    """How many distinct prompts there are."""
    return sum(1 for prompts, _ in KINDS.values() for _ in prompts())


def _answered(answer, slots: tuple, rng) -> str:
    """Terse: the shortest body that answers. Chatty: a long body, mostly with a sentence before it and after it."""
    chatty = rng.random() < 0.6
    parts = [answer(rng, chatty, *slots)]
    if chatty and rng.random() < 0.8:
        parts.insert(0, rng.choice(OPENINGS))
    if chatty and rng.random() < 0.6:
        parts.append(rng.choice(CLOSINGS))
    return " ".join(parts)


def _joined(words) -> str:
    *first, last = words
    return (", ".join(first) + " and " if first else "") + f"{last}."


def _others(person: str) -> list[str]:
    return [other for other in PEOPLE if other != person]


def _list_prompts():
    for person, (category, items) in product(PEOPLE, LISTS.items()):
        for prompt in (f"Name some {category} for {person}.", f"Which {category} does {person} like?"):
            yield prompt, (person, category, items)


def _list_answer(rng, chatty, person, category, items):
    named = _joined(rng.sample(items, rng.randint(3, 8) if chatty else rng.randint(1, 3)))
    return f"Some {category} for {person} are {named}" if chatty else named.capitalize()


def _count_prompts():
    for first, steps in product(range(1, 31), range(1, 16)):
        yield f"Count from {first} to {first + steps}.", (first, first + steps, 1)
        yield f"Count down from {first + steps} to {first}.", (first + steps, first, -1)


def _count_answer(rng, chatty, first, last, step):
    numbers = _joined(str(number) for number in range(first, last + step, step))
    return f"We start with {first}: {numbers}" if chatty else numbers


def _compare_prompts():
    for one, other in product(range(1, 46), repeat=2):
        if one != other:
            yield f"Which is larger, {one} or {other}?", (max(one, other), min(one, other))


def _compare_answer(rng, chatty, larger, smaller):
    if not chatty:
        return f"{larger}."
    reasons = [f"It is {smaller} that is smaller.", f"When you count up, {larger} comes after {smaller}."]
    return " ".join([f"The number {larger} is larger than {smaller}.", *reasons[: rng.randint(0, 2)]])


def _describe_prompts():
    for adjective, noun in product(ADJECTIVES, NOUNS):
        for prompt in (f"Describe a {adjective} {noun}.", f"What is a {adjective} {noun} like?"):
            yield prompt, (adjective, noun)


def _describe_answer(rng, chatty, adjective, noun):
    sentences = [
        f"It looks {rng.choice(ADJECTIVES)} and {rng.choice(ADJECTIVES)}.",
        f"You can find it in the {rng.choice(PLACES)}.",
        f"My friend {rng.choice(PEOPLE)} has one too.",
        f"It is next to a {rng.choice(NOUNS)}.",
    ]
    if not chatty:
        return f"It is {adjective}."
    return " ".join([f"The {noun} is {adjective}.", *rng.sample(sentences, rng.randint(2, 4))])


def _plan_prompts():
    for person, day, place in product(PEOPLE, DAYS, PLACES):
        yield f"Plan a {day} near the {place} for {person}.", (person, place)


def _plan_answer(rng, chatty, person, place):
    if not chatty:
        return f"Go to the {place} and eat {rng.choice(LISTS['meals'])}."
    parts = [
        f"In the morning, {person} can go to the {place}.",
        f"At noon, eat some {rng.choice(LISTS['meals'])} and drink {rng.choice(LISTS['drinks'])}.",
        f"Then play {rng.choice(LISTS['sports'])} with {rng.choice(_others(person))}.",
        f"In the evening, read a {rng.choice(ADJECTIVES)} book.",
    ]
    return " ".join(parts[: rng.randint(2, 4)])


def _spell_prompts():
    for word in dict.fromkeys([*NOUNS, *ADJECTIVES, *ANIMALS, *PLACES, *LISTS["jobs"], *LISTS["meals"]]):
        yield f"Spell the word {word}.", (word,)
        yield f"How do you spell {word}?", (word,)


def _spell_answer(rng, chatty, word):
    letters = " ".join(word)
    return (
        f"The word {word} has {len(word)} letters: {letters}. Together they make {word}." if chatty else f"{letters}."
    )


def _repeat_prompts():
    for adjective, noun, times in product(ADJECTIVES, NOUNS, (2, 3, 4)):
        yield f"Say {adjective} {noun} {times} times.", (f"{adjective} {noun}", times)


def _repeat_answer(rng, chatty, phrase, times):
    said = ", ".join([phrase] * times) + "."
    return f"I will now say it {times} times: {said}" if chatty else said.capitalize()


def _fact_prompts():
    for person, animal in product(PEOPLE, ANIMALS):
        yield f"Tell {person} about the {animal}.", (animal, None)
        yield f"Tell {person} about the {animal} in short.", (animal, "short")
        yield f"Tell {person} about the {animal} at length.", (animal, "long")


def _fact_answer(rng, chatty, animal, wanted):
    food, home, skill = ANIMALS[animal]
    facts = [f"The {animal} eats {food}.", f"It lives near the {home}.", f"It can {skill} very well."]
    facts.append(f"Most people like the {animal}.")
    count = {"short": 1, "long": 4}.get(wanted, rng.randint(2, 4) if chatty else 1)
    return " ".join(facts[:count])


def _story_prompts():
    for person, noun in product(PEOPLE, NOUNS):
        for prompt in (f"Tell a story about {person} and a {noun}.", f"What did {person} do with the {noun}?"):
            yield prompt, (person, noun)


def _story_answer(rng, chatty, person, noun):
    if not chatty:
        return f"{person} found a {noun}."
    friend, place, adjective = rng.choice(_others(person)), rng.choice(PLACES), rng.choice(ADJECTIVES)
    parts = [
        f"One day {person} found a {adjective} {noun} near the {place}.",
        f"Then {person} gave the {noun} to {friend}.",
        f"But {friend} did not want it and lost it.",
        "In the end they were friends.",
    ]
    return " ".join(parts[: rng.randint(2, 4)])


# kind: its prompts with what fills them, and the answer to one of them
KINDS = {
    "list": (_list_prompts, _list_answer),
    "count": (_count_prompts, _count_answer),
    "compare": (_compare_prompts, _compare_answer),
    "describe": (_describe_prompts, _describe_answer),
    "plan": (_plan_prompts, _plan_answer),
    "spell": (_spell_prompts, _spell_answer),
    "repeat": (_repeat_prompts, _repeat_answer),
    "fact": (_fact_prompts, _fact_answer),
    "story": (_story_prompts, _story_answer),
}
