"""vLLM's check of an adapter: its configuration, its tensors' names, its shapes. Start with `folder.py`.

The steps and their order are vLLM's (`vllm/lora/peft_helper.py`, `lora_model.py`, `model_manager.py`), since a client
sees the first error alone. Where vLLM passes on the text of an error of Python itself, the same operation is done here.
"""
