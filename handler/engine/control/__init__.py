"""Control images: ControlNets and Control-LoRAs, and image prompts by IP-Adapter. Imported when first needed."""
