"""Style names a request may select: the `styles` enum of `fal-ai/fooocus`.

The 277 names are Fooocus's own after its key normalisation, grouped by family and in family order.
"Fooocus V2" selects the prompt expansion and has no text of its own. "Random Style" and "Fooocus Pony"
are not part of fal's enum.
"""

from __future__ import annotations

# Family prefix (empty for names that stand alone) and its items.
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("Fooocus", "V2; Enhance; Sharp; Semi Realistic; Masterpiece; Photograph; Negative; Cinematic"),
    (
        "SAI",
        "3D Model; Analog Film; Anime; Cinematic; Comic Book; Craft Clay; Digital Art; Enhance; "
        "Fantasy Art; Isometric; Line Art; Lowpoly; Neonpunk; Origami; Photographic; Pixel Art; Texture",
    ),
    (
        "MRE",
        "Cinematic Dynamic; Spontaneous Picture; Artistic Vision; Dark Dream; Gloomy Art; Bad Dream; "
        "Underground; Surreal Painting; Dynamic Illustration; Undead Art; Elemental Art; Space Art; "
        "Ancient Illustration; Brave Art; Heroic Fantasy; Dark Cyberpunk; Lyrical Geometry; "
        "Sumi E Symbolic; Sumi E Detailed; Manga; Anime; Comic",
    ),
    (
        "Ads",
        "Advertising; Automotive; Corporate; Fashion Editorial; Food Photography; Gourmet Food Photography; "
        "Luxury; Real Estate; Retail",
    ),
    (
        "Artstyle",
        "Abstract; Abstract Expressionism; Art Deco; Art Nouveau; Constructivist; Cubist; Expressionist; "
        "Graffiti; Hyperrealism; Impressionist; Pointillism; Pop Art; Psychedelic; Renaissance; Steampunk; "
        "Surrealist; Typography; Watercolor",
    ),
    (
        "Futuristic",
        "Biomechanical; Biomechanical Cyberpunk; Cybernetic; Cybernetic Robot; Cyberpunk Cityscape; "
        "Futuristic; Retro Cyberpunk; Retro Futurism; Sci Fi; Vaporwave",
    ),
    (
        "Game",
        "Bubble Bobble; Cyberpunk Game; Fighting Game; Gta; Mario; Minecraft; Pokemon; Retro Arcade; "
        "Retro Game; Rpg Fantasy Game; Strategy Game; Streetfighter; Zelda",
    ),
    (
        "Misc",
        "Architectural; Disco; Dreamscape; Dystopian; Fairy Tale; Gothic; Grunge; Horror; Kawaii; "
        "Lovecraftian; Macabre; Manga; Metropolis; Minimalist; Monochrome; Nautical; Space; Stained Glass; "
        "Techwear Fashion; Tribal; Zentangle",
    ),
    (
        "Papercraft",
        "Collage; Flat Papercut; Kirigami; Paper Mache; Paper Quilling; Papercut Collage; "
        "Papercut Shadow Box; Stacked Papercut; Thick Layered Papercut",
    ),
    (
        "Photo",
        "Alien; Film Noir; Glamour; Hdr; Iphone Photographic; Long Exposure; Neon Noir; Silhouette; "
        "Tilt Shift",
    ),
    (
        "",
        "Cinematic Diva; Abstract Expressionism; Academia; Action Figure; Adorable 3D Character; "
        "Adorable Kawaii; Art Deco; Art Nouveau; Astral Aura; Avant Garde; Baroque; Bauhaus Style Poster; "
        "Blueprint Schematic Drawing; Caricature; Cel Shaded Art; Character Design Sheet; Classicism Art; "
        "Color Field Painting; Colored Pencil Art; Conceptual Art; Constructivism; Cubism; Dadaism; "
        "Dark Fantasy; Dark Moody Atmosphere; Dmt Art Style; Doodle Art; Double Exposure; "
        "Dripping Paint Splatter Art; Expressionism; Faded Polaroid Photo; Fauvism; Flat 2d Art; "
        "Fortnite Art Style; Futurism; Glitchcore; Glo Fi; Googie Art Style; Graffiti Art; "
        "Harlem Renaissance Art; High Fashion; Idyllic; Impressionism; Infographic Drawing; "
        "Ink Dripping Drawing; Japanese Ink Drawing; Knolling Photography; Light Cheery Atmosphere; "
        "Logo Design; Luxurious Elegance; Macro Photography; Mandola Art; Marker Drawing; Medievalism; "
        "Minimalism; Neo Baroque; Neo Byzantine; Neo Futurism; Neo Impressionism; Neo Rococo; "
        "Neoclassicism; Op Art; Ornate And Intricate; Pencil Sketch Drawing; Pop Art 2; Rococo; "
        "Silhouette Art; Simple Vector Art; Sketchup; Steampunk 2; Surrealism; Suprematism; Terragen; "
        "Tranquil Relaxing Atmosphere; Sticker Designs; Vibrant Rim Light; Volumetric Lighting; "
        "Watercolor 2; Whimsical And Playful; Pebble Art",
    ),
    (
        "Mk",
        "Chromolithography; Cross Processing Print; Dufaycolor Photograph; Herbarium; Punk Collage; Mosaic; "
        "Van Gogh; Coloring Book; Singer Sargent; Pollock; Basquiat; Andy Warhol; Halftone Print; "
        "Gond Painting; Albumen Print; Aquatint Print; Anthotype Print; Inuit Carving; Bromoil Print; "
        "Calotype Print; Color Sketchnote; Cibulak Porcelain; Alcohol Ink Art; One Line Art; "
        "Blacklight Paint; Carnival Glass; Cyanotype Print; Cross Stitching; Encaustic Paint; Embroidery; "
        "Gyotaku; Luminogram; Lite Brite Art; Mokume Gane; Palekh; Suminagashi; Scrimshaw; Shibori; "
        "Vitreous Enamel; Ukiyo E; Vintage Airline Poster; Vintage Travel Poster; Bauhaus Style; "
        "Afrofuturism; Atompunk; Constructivism; Chicano Art; De Stijl; Dayak Art; Fayum Portrait; "
        "Illuminated Manuscript; Kalighat Painting; Madhubani Painting; Pictorialism; Pichwai Painting; "
        "Patachitra Painting; Samoan Art Inspired; Tlingit Art; Adnate Style; Ron English Style; "
        "Shepard Fairey Style",
    ),
)


def _full_names(prefix: str, items: str) -> tuple[str, ...]:
    return tuple(f"{prefix} {item}".lstrip() for item in items.split("; "))


STYLE_NAMES: tuple[str, ...] = tuple(name for family in _FAMILIES for name in _full_names(*family))
