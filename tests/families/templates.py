"""Chat templates of our own that render the layouts of published families, and some that are odd on purpose."""

ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must go user, assistant, user, ...') }}{% endif %}"
)
SPLIT_SYSTEM = (
    "{% set system = messages[0].content if messages[0].role == 'system' else none %}"
    "{% set turns = messages if system is none else messages[1:] %}"
)

# Every pair of turns is a text of its own, with BOS and EOS; the answer stands between blanks.
LLAMA2 = (
    SPLIT_SYSTEM + "{% for m in turns %}" + ALTERNATE + "{% if m.role == 'user' %}"
    "{% set before = '' if system is none or not loop.first else '<<SYS>>\n' ~ system ~ '\n<</SYS>>\n\n' %}"
    "{{ bos_token }}[INST] {{ (before ~ m.content) | trim }} [/INST]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    SPLIT_SYSTEM + "{{ bos_token }}{% for m in turns %}" + ALTERNATE + "{% if m.role == 'user' %}"
    " [INST] {{ system ~ '\n\n' if loop.first and system is not none else '' }}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
# The system prompt goes with the last message, if that is the user's: it is gone once an answer follows.
MISTRAL_V3 = (
    SPLIT_SYSTEM + "{{ bos_token }}{% for m in turns %}" + ALTERNATE + "{% if m.role == 'user' %}"
    "[INST] {{ system ~ '\n\n' if loop.last and system is not none else '' }}{{ m.content }}[/INST]"
    "{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)

ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

_LLAMA3_TURNS = (
    "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
LLAMA3 = "{% for m in messages %}{{ bos_token if loop.first }}" + _LLAMA3_TURNS
LLAMA3_1 = (
    SPLIT_SYSTEM + "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{{ (system or '') | trim }}<|eot_id|>"
    "{% for m in turns %}" + _LLAMA3_TURNS
)

ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_CHATML_TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
CHATML = "{% for m in messages %}" + _CHATML_TURN + "{% endfor %}" + ASKS
SMOLLM2 = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}" + CHATML
)

# A line break right after a block is dropped, hence those in expressions.
_TOOLS = (
    "{% if tools %}{{ '\n\n' }}# Tools\n\n<tools>{% for tool in tools %}{{ '\n' ~ tool | tojson }}{% endfor %}"
    "{{ '\n' }}</tools>{% endif %}"
)
_CALL = '<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
# Results of tools that follow each other share one turn of the user.
_RESULT = (
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}"
    "{{ '\n' }}<tool_response>\n{{ m.content }}\n</tool_response>"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>\n{% endif %}"
)
QWEN2_5 = (
    SPLIT_SYSTEM + "<|im_start|>system\n"
    "{{ 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' if system is none else system }}"
    + _TOOLS
    + "<|im_end|>\n{% for m in messages %}"
    + "{% if m.role == 'tool' %}"
    + _RESULT
    + "{% elif m.tool_calls %}<|im_start|>assistant{{ '\n' ~ m.content if m.content }}"
    + "{% for c in m.tool_calls %}{{ '\n' }}"
    + _CALL
    + "{% endfor %}<|im_end|>\n{% elif m.role != 'system' or not loop.first %}"
    + _CHATML_TURN
    + "{% endif %}{% endfor %}"
    + ASKS
)
# Thinking is shown from the last question on, and an answer without it gets an empty block.
QWEN3 = (
    SPLIT_SYSTEM
    + "{% if tools or system is not none %}<|im_start|>system\n{{ system or '' }}"
    + _TOOLS
    + "<|im_end|>\n{% endif %}"
    + "{% set ns = namespace(last=-1) %}"
    + "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    + "{% for m in messages %}{% if m.role == 'tool' %}"
    + _RESULT
    + "{% elif m.role == 'assistant' %}"
    + "{% set thought = m.reasoning_content or '' %}{% set said = m.content %}"
    + "{% if not thought and '</think>' in said %}"
    + "{% set thought = said.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    + "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}<|im_start|>assistant\n"
    + "{% if loop.index0 > ns.last and (loop.last or thought) %}<think>\n{{ thought.strip('\n') }}\n</think>\n\n"
    + "{% set said = said.lstrip('\n') %}{% endif %}{{ said }}"
    + "{% for c in m.tool_calls or [] %}{{ '\n' if said or not loop.first }}"
    + _CALL
    + "{% endfor %}<|im_end|>\n"
    + "{% elif m.role != 'system' or not loop.first %}"
    + _CHATML_TURN
    + "{% endif %}{% endfor %}"
    + ASKS
    + "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
    + "{% endif %}"
)

_GEMMA_TURNS = (
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ before }}{{ m.content | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GEMMA2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}" + ALTERNATE + _GEMMA_TURNS
)
GEMMA3 = (
    SPLIT_SYSTEM + "{{ bos_token }}{% for m in turns %}" + ALTERNATE + "{% set before = '' %}"
    "{% if loop.first and system is not none %}{% set before = system ~ '\n\n' %}{% endif %}" + _GEMMA_TURNS
)

# Without a generation prompt it ends with EOS, after the token that closes the turn.
PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)

# Odd ones.
NO_GENERATION_PROMPT = "{% for m in messages %}" + _CHATML_TURN + "{% endfor %}"
TRIMS = CHATML.replace("m.content", "m.content | trim")
DROPS_THINKING = CHATML.replace("m.content", "m.content if loop.last else m.content.split('</think>')[-1].lstrip('\n')")
# Asks with an open block of thinking that no rendered answer has, the last one neither.
FORCES_THINKING = CHATML.replace("m.content", "m.content.split('</think>')[-1]").replace(
    ASKS, ASKS[:-11] + "<think>\n{% endif %}"
)
